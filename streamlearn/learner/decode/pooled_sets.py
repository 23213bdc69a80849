"""The pool of label sets: a bounded collection with decayed counts, laid out so that sums over members are plain loops.

Sets are sorted by length, longest first, so the sets with more than p members are a prefix of row p of ``members``.
Inserting or removing a set moves at most one set of each shorter length. Sets are found by a hash table with chaining.

Counts are in units of an increment that grows by a fixed factor per row, so no pass over all sets decays them. The
recent counts decay fast, so only the sets seen last have one, in a short list; counts below `RECENT_FLOOR` are dropped.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.label_sets import CODE_FACTOR, CODE_MASK
from streamlearn.numerics.exp_log import log64

CAPACITY = 1000
"""Largest number of sets."""

PADDED_CAPACITY = 1008
"""Length of the arrays: the capacity and some spare, so that rows do not map to the same cache lines."""

LONGEST = 64
"""Largest number of members of a pooled set."""

HASH_BUCKETS = 2048
LEAST_COUNT = 1e-300

RECENT_DECAY = 0.8
RECENT_FLOOR = 1e-6
RECENT_CAPACITY = 64
"""Length of the list of recent counts: .8^62 is below the floor."""


class SetField(IntEnum):
    """Rows of `PooledSets.fields`."""

    CODE = 0  # `label_set_code` of the set
    LENGTH = 1  # number of members
    NEXT = 2  # index of the next set in the same hash bucket, -1: none
    RECENT = 3  # entry in the list of recent counts, -1: none


SET_FIELDS = len(SetField)


class PooledSets(NamedTuple):
    """The sets, by index; the arrays beyond the number of sets, ``at_least[0]``, are spare capacity.

    Attributes
    ----------
    members
        int32[LONGEST, PADDED_CAPACITY], label slots: row p holds the p-th member, ascending, of each set.
    fields
        int64[SET_FIELDS, PADDED_CAPACITY], rows `SetField`.
    counts
        float64[PADDED_CAPACITY], decayed counts in units of the increment.
    log_counts
        float32[PADDED_CAPACITY], logarithms of ``counts``.
    prior_sums
        float32[PADDED_CAPACITY], sum of the members' prior logits.
    at_least
        int64[LONGEST + 2], number of sets with at least that many members.
    heads
        int64[HASH_BUCKETS], index of the first set of each hash bucket, -1: none.
    recent_sets
        int64[RECENT_CAPACITY], index of the set of each recent count.
    recent_counts
        float64[RECENT_CAPACITY], counts decayed by RECENT_DECAY per complete row.
    recent_size
        int64[1], recent counts in use.
    """

    members: np.ndarray
    fields: np.ndarray
    counts: np.ndarray
    log_counts: np.ndarray
    prior_sums: np.ndarray
    at_least: np.ndarray
    heads: np.ndarray
    recent_sets: np.ndarray
    recent_counts: np.ndarray
    recent_size: np.ndarray


@kernel
def find_set(
    sets: PooledSets, members: np.ndarray, first: int | np.int64, last: int | np.int64, code: int | np.int64
) -> int:
    """Return the index of the label set ``members[first:last]`` with the given code, -1 if it is not in the pool."""
    index = sets.heads[code & np.int64(HASH_BUCKETS - 1)]
    while index >= 0:
        if sets.fields[SetField.CODE, index] == code and sets.fields[SetField.LENGTH, index] == last - first:
            same = True
            for position in range(last - first):
                if sets.members[position, index] != members[first + position]:
                    same = False
                    break
            if same:
                return index
        index = sets.fields[SetField.NEXT, index]
    return -1


@kernel
def _relink(sets: PooledSets, index: int, target: int) -> None:
    """Replace ``index`` by ``target`` in the chain of its hash bucket."""
    bucket = sets.fields[SetField.CODE, index] & np.int64(HASH_BUCKETS - 1)
    if sets.heads[bucket] == index:
        sets.heads[bucket] = target
        return
    before = sets.heads[bucket]
    while sets.fields[SetField.NEXT, before] != index:
        before = sets.fields[SetField.NEXT, before]
    sets.fields[SetField.NEXT, before] = target


@kernel
def _move_set(sets: PooledSets, index: int, target: int) -> None:
    """Move the set at ``index`` to ``target``, whose contents are overwritten."""
    _relink(sets, index, target)
    for position in range(sets.fields[SetField.LENGTH, index]):
        sets.members[position, target] = sets.members[position, index]
    for field in range(SET_FIELDS):
        sets.fields[field, target] = sets.fields[field, index]
    sets.counts[target] = sets.counts[index]
    sets.log_counts[target] = sets.log_counts[index]
    sets.prior_sums[target] = sets.prior_sums[index]
    entry = sets.fields[SetField.RECENT, index]
    if entry >= 0:
        sets.recent_sets[entry] = target


@kernel
def _drop_recent(sets: PooledSets, entry: int | np.int64) -> None:
    """Remove an entry from the list of recent counts; the last entry moves into the gap."""
    last = sets.recent_size[0] - 1
    sets.fields[SetField.RECENT, sets.recent_sets[entry]] = -1
    if entry != last:
        sets.recent_sets[entry] = sets.recent_sets[last]
        sets.recent_counts[entry] = sets.recent_counts[last]
        sets.fields[SetField.RECENT, sets.recent_sets[entry]] = entry
    sets.recent_size[0] = last


@kernel
def remove_set(sets: PooledSets, index: int) -> None:
    """Remove a set; the last set of its length fills the gap, and so on for each shorter length."""
    if sets.fields[SetField.RECENT, index] >= 0:
        _drop_recent(sets, sets.fields[SetField.RECENT, index])
    _relink(sets, index, sets.fields[SetField.NEXT, index])
    gap = index
    for length in range(sets.fields[SetField.LENGTH, index], -1, -1):
        last = sets.at_least[length] - 1
        if last != gap:
            _move_set(sets, last, gap)
        gap = last
        sets.at_least[length] = last


@kernel
def find_rarest_set(sets: PooledSets) -> int:
    """Return the index of the set with the smallest count, the lowest index on ties; the pool must not be empty."""
    rarest = 0
    for index in range(1, sets.at_least[0]):
        if sets.counts[index] < sets.counts[rarest]:
            rarest = index
    return rarest


@kernel
def insert_set(sets: PooledSets, members: np.ndarray, code: int | np.int64) -> int:
    """Insert a set of at most LONGEST members that is not in the pool; return its index. The pool must not be full.

    The caller sets its count and the sum of its prior logits.
    """
    for length in range(members.size):
        if sets.at_least[length + 1] < sets.at_least[length]:
            _move_set(sets, sets.at_least[length + 1], sets.at_least[length])
        sets.at_least[length] += 1
    index = sets.at_least[members.size]
    sets.at_least[members.size] = index + 1
    for position in range(members.size):
        sets.members[position, index] = members[position]
    bucket = code & np.int64(HASH_BUCKETS - 1)
    sets.fields[SetField.CODE, index] = code
    sets.fields[SetField.LENGTH, index] = members.size
    sets.fields[SetField.NEXT, index] = sets.heads[bucket]
    sets.fields[SetField.RECENT, index] = -1
    sets.heads[bucket] = index
    return index


@kernel
def decay_recent_counts(sets: PooledSets) -> None:
    """Decay the recent counts by one complete row and drop those below the floor."""
    entry = np.int64(0)
    while entry < sets.recent_size[0]:
        sets.recent_counts[entry] *= RECENT_DECAY
        if sets.recent_counts[entry] < RECENT_FLOOR:
            _drop_recent(sets, entry)
        else:
            entry += 1


@kernel
def count_set(sets: PooledSets, index: int, increment: float) -> None:
    """Count one more row with this set, in ``counts`` and in the recent counts."""
    sets.counts[index] += increment
    sets.log_counts[index] = np.float32(log64(sets.counts[index]))
    entry = sets.fields[SetField.RECENT, index]
    if entry < 0:
        entry = sets.recent_size[0]
        sets.recent_size[0] = entry + 1
        sets.fields[SetField.RECENT, index] = entry
        sets.recent_sets[entry] = index
        sets.recent_counts[entry] = 0.0
    sets.recent_counts[entry] += 1.0


@kernel
def scale_counts(sets: PooledSets, factor: float) -> None:
    """Renormalise the counts: multiply them by ``factor``."""
    for index in range(sets.at_least[0]):
        sets.counts[index] = max(sets.counts[index] * factor, LEAST_COUNT)
        sets.log_counts[index] = np.float32(log64(sets.counts[index]))


@kernel
def sum_members(sets: PooledSets, values: np.ndarray, out: np.ndarray) -> None:
    """Write the sum of ``values`` float32[labels] over each set's members, in their order, to ``out``.

    ``out`` is float32[PADDED_CAPACITY].
    """
    for index in range(sets.at_least[0]):
        out[index] = np.float32(0.0)
    for position in range(LONGEST):
        last = sets.at_least[position + 1]
        if last == 0:
            break
        row = sets.members[position]
        for index in range(last):
            out[index] += values[np.uint32(row[index])]


@kernel
def derive_fields(sets: PooledSets) -> None:
    """Derive ``fields``, ``heads`` and ``log_counts`` from the other arrays."""
    for bucket in range(HASH_BUCKETS):
        sets.heads[bucket] = -1
    length = LONGEST
    for index in range(sets.at_least[0]):
        while length > 0 and sets.at_least[length] <= index:
            length -= 1
        code = np.int64(length)
        for position in range(length):
            code = (code & CODE_MASK) * CODE_FACTOR ^ np.int64(sets.members[position, index])
        bucket = code & np.int64(HASH_BUCKETS - 1)
        sets.fields[SetField.CODE, index] = code
        sets.fields[SetField.LENGTH, index] = length
        sets.fields[SetField.NEXT, index] = sets.heads[bucket]
        sets.fields[SetField.RECENT, index] = -1
        sets.heads[bucket] = index
        sets.log_counts[index] = np.float32(log64(sets.counts[index]))
    for entry in range(sets.recent_size[0]):
        sets.fields[SetField.RECENT, sets.recent_sets[entry]] = entry


def empty_sets() -> PooledSets:
    """Return a pool without sets."""
    return PooledSets(
        members=np.zeros((LONGEST, PADDED_CAPACITY), np.int32),
        fields=np.zeros((SET_FIELDS, PADDED_CAPACITY), np.int64),
        counts=np.zeros(PADDED_CAPACITY),
        log_counts=np.zeros(PADDED_CAPACITY, np.float32),
        prior_sums=np.zeros(PADDED_CAPACITY, np.float32),
        at_least=np.zeros(LONGEST + 2, np.int64),
        heads=np.full(HASH_BUCKETS, -1, np.int64),
        recent_sets=np.zeros(RECENT_CAPACITY, np.int64),
        recent_counts=np.zeros(RECENT_CAPACITY),
        recent_size=np.zeros(1, np.int64),
    )
