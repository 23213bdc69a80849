"""A bounded collection of whole label sets with decayed counts, laid out so that sums over members are plain loops.

The sets stand longest first, so those with more than p members are a prefix of every row p of ``members``. A set that
enters or leaves moves at most one set of every shorter length. Counts are in units of an increment that grows by a
fixed factor a row: nothing is decayed by a pass. The burst counts decay fast, so they live in a short list of the sets
seen last; a burst count below `BURST_FLOOR` is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.label_sets import CODE_FACTOR, CODE_MASK
from streamlearn.numerics.exp_log import log64

CAPACITY = 1000
LONGEST = 64
ROOM = 1008
"""Places of each array: the capacity and some to spare, so that rows do not fall on the same lines of a cache."""
BUCKETS = 2048
BURST_DECAY = 0.8
BURST_FLOOR = 1e-6
BURST_ROOM = 64
"""Sets with a burst count at most: .8^62 is below the floor."""
LEAST_COUNT = 1e-300

CODE = 0
LENGTH = 1
NEXT = 2
BURST = 3


class PooledSets(NamedTuple):
    """``members`` int32[LONGEST, ROOM]: the p-th member, ascending, of each set; ``links`` int64[4, ROOM]: the set's
    code, its length, the next set in its bucket and its place in the burst list (both -1 for none); ``counts``
    float64[ROOM]; ``log_counts`` float32[ROOM], their logarithms; ``prior_sums`` float32[ROOM], the sum of the members'
    prior logits; ``longer`` int64[LONGEST + 2]: sets with at least that many members; ``heads`` int64[BUCKETS]: the
    first set of each bucket, -1 for none; ``burst_places`` int64 and ``burst_counts`` float64 [BURST_ROOM],
    ``burst_size`` int64[1].
    """

    members: np.ndarray
    links: np.ndarray
    counts: np.ndarray
    log_counts: np.ndarray
    prior_sums: np.ndarray
    longer: np.ndarray
    heads: np.ndarray
    burst_places: np.ndarray
    burst_counts: np.ndarray
    burst_size: np.ndarray


@kernel
def find_set(
    sets: PooledSets, members: np.ndarray, first: int | np.int64, last: int | np.int64, code: int | np.int64
) -> int:
    """Return the place of the label set ``members[first:last]`` with that code, -1 when it is not there."""
    place = sets.heads[code & np.int64(BUCKETS - 1)]
    while place >= 0:
        if sets.links[CODE, place] == code and sets.links[LENGTH, place] == last - first:
            same = True
            for at in range(last - first):
                if sets.members[at, place] != members[first + at]:
                    same = False
                    break
            if same:
                return place
        place = sets.links[NEXT, place]
    return -1


@kernel
def _relink(sets: PooledSets, place: int, target: int) -> None:
    """Let what points at ``place`` in its bucket point at ``target``."""
    bucket = sets.links[CODE, place] & np.int64(BUCKETS - 1)
    if sets.heads[bucket] == place:
        sets.heads[bucket] = target
        return
    before = sets.heads[bucket]
    while sets.links[NEXT, before] != place:
        before = sets.links[NEXT, before]
    sets.links[NEXT, before] = target


@kernel
def _move(sets: PooledSets, place: int, target: int) -> None:
    _relink(sets, place, target)
    for at in range(sets.links[LENGTH, place]):
        sets.members[at, target] = sets.members[at, place]
    for kind in range(4):
        sets.links[kind, target] = sets.links[kind, place]
    sets.counts[target] = sets.counts[place]
    sets.log_counts[target] = sets.log_counts[place]
    sets.prior_sums[target] = sets.prior_sums[place]
    burst = sets.links[BURST, place]
    if burst >= 0:
        sets.burst_places[burst] = target


@kernel
def _forget_burst(sets: PooledSets, burst: int | np.int64) -> None:
    """Take an entry out of the burst list; the last one takes its place."""
    last = sets.burst_size[0] - 1
    sets.links[BURST, sets.burst_places[burst]] = -1
    if burst != last:
        sets.burst_places[burst] = sets.burst_places[last]
        sets.burst_counts[burst] = sets.burst_counts[last]
        sets.links[BURST, sets.burst_places[burst]] = burst
    sets.burst_size[0] = last


@kernel
def remove_set(sets: PooledSets, place: int) -> None:
    """Remove a set; the last one of its length takes its place, and the last of each shorter length moves up."""
    if sets.links[BURST, place] >= 0:
        _forget_burst(sets, sets.links[BURST, place])
    _relink(sets, place, sets.links[NEXT, place])
    hole = place
    for length in range(sets.links[LENGTH, place], -1, -1):
        last = sets.longer[length] - 1
        if last != hole:
            _move(sets, last, hole)
        hole = last
        sets.longer[length] = last


@kernel
def rarest_set(sets: PooledSets) -> int:
    """Return the place of the set with the least count, the lowest of equals; there must be one."""
    rarest = 0
    for place in range(1, sets.longer[0]):
        if sets.counts[place] < sets.counts[rarest]:
            rarest = place
    return rarest


@kernel
def insert_set(sets: PooledSets, members: np.ndarray, code: int | np.int64) -> int:
    """Insert a set that is not there yet, of at most LONGEST members; return its place. There must be room.

    Its count and the sum of its prior terms are the caller's to set.
    """
    for length in range(members.size):
        if sets.longer[length + 1] < sets.longer[length]:
            _move(sets, sets.longer[length + 1], sets.longer[length])
        sets.longer[length] += 1
    place = sets.longer[members.size]
    sets.longer[members.size] = place + 1
    for at in range(members.size):
        sets.members[at, place] = members[at]
    bucket = code & np.int64(BUCKETS - 1)
    sets.links[CODE, place] = code
    sets.links[LENGTH, place] = members.size
    sets.links[NEXT, place] = sets.heads[bucket]
    sets.links[BURST, place] = -1
    sets.heads[bucket] = place
    return place


@kernel
def decay_bursts(sets: PooledSets) -> None:
    """Let one complete row pass: burst counts decay, those below the floor are forgotten."""
    burst = np.int64(0)
    while burst < sets.burst_size[0]:
        sets.burst_counts[burst] *= BURST_DECAY
        if sets.burst_counts[burst] < BURST_FLOOR:
            _forget_burst(sets, burst)
        else:
            burst += 1


@kernel
def count_set(sets: PooledSets, place: int, increment: float) -> None:
    """Count a set once more."""
    sets.counts[place] += increment
    sets.log_counts[place] = np.float32(log64(sets.counts[place]))
    burst = sets.links[BURST, place]
    if burst < 0:
        burst = sets.burst_size[0]
        sets.burst_size[0] = burst + 1
        sets.links[BURST, place] = burst
        sets.burst_places[burst] = place
        sets.burst_counts[burst] = 0.0
    sets.burst_counts[burst] += 1.0


@kernel
def scale_counts(sets: PooledSets, factor: float) -> None:
    """Renormalise the counts."""
    for place in range(sets.longer[0]):
        sets.counts[place] = max(sets.counts[place] * factor, LEAST_COUNT)
        sets.log_counts[place] = np.float32(log64(sets.counts[place]))


@kernel
def sum_members(sets: PooledSets, values: np.ndarray, out: np.ndarray) -> None:
    """Write the sum of ``values`` float32[labels] over each set's members to ``out`` float32[ROOM], in their order."""
    for place in range(sets.longer[0]):
        out[place] = np.float32(0.0)
    for at in range(LONGEST):
        last = sets.longer[at + 1]
        if last == 0:
            break
        row = sets.members[at]
        for place in range(last):
            out[place] += values[np.uint32(row[place])]


@kernel
def link_sets(sets: PooledSets) -> None:
    """Rebuild ``links``, ``heads`` and ``log_counts`` from the other arrays."""
    for bucket in range(BUCKETS):
        sets.heads[bucket] = -1
    longest = LONGEST
    for place in range(sets.longer[0]):
        while longest > 0 and sets.longer[longest] <= place:
            longest -= 1
        code = np.int64(longest)
        for at in range(longest):
            code = (code & CODE_MASK) * CODE_FACTOR ^ np.int64(sets.members[at, place])
        bucket = code & np.int64(BUCKETS - 1)
        sets.links[CODE, place] = code
        sets.links[LENGTH, place] = longest
        sets.links[NEXT, place] = sets.heads[bucket]
        sets.links[BURST, place] = -1
        sets.heads[bucket] = place
        sets.log_counts[place] = np.float32(log64(sets.counts[place]))
    for burst in range(sets.burst_size[0]):
        sets.links[BURST, sets.burst_places[burst]] = burst


def empty_sets() -> PooledSets:
    """Return a collection without sets."""
    return PooledSets(
        np.zeros((LONGEST, ROOM), np.int32),
        np.zeros((4, ROOM), np.int64),
        np.zeros(ROOM),
        np.zeros(ROOM, np.float32),
        np.zeros(ROOM, np.float32),
        np.zeros(LONGEST + 2, np.int64),
        np.full(BUCKETS, -1, np.int64),
        np.zeros(BURST_ROOM, np.int64),
        np.zeros(BURST_ROOM),
        np.zeros(1, np.int64),
    )
