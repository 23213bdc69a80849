"""The partition of the labels into clusters: the current tree, the candidate tree, and the test between them.

At the end of every period (100 rows during the first 500 rows, then 500) the candidate built one period earlier is
tested against the current tree on the rows since then; both first learn up to 2,000 earlier rows (`code_length`). The
candidate replaces the current tree if its mean gain in log probability exceeds 3 standard errors and its total gain
exceeds 1 nat: a gain that is equal on every row has no standard error, however small it is. Then the next candidate is
built from the current counts. After a drift alarm the test may run before the period ends.

The first tree has the label slots in their order, 16 per node, since no row has been seen yet. It is tested like any
other tree.

Only complete label sets count as rows here. What the modes for comparison do instead is in `mode_strategies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import (
    MAXIMUM_CHILDREN,
    TreeSize,
    TreeState,
    empty_tree,
    grow_tree,
    node_capacity,
    tree_arrays,
    tree_from_arrays,
    tree_join,
)
from streamlearn.learner.partition.code_length import compare
from streamlearn.learner.partition.comparison_modes import MODES, Mode, parse_mode
from streamlearn.learner.partition.linkage import candidate_tree
from streamlearn.learner.partition.mode_strategies import mode_cluster, strategy_of
from streamlearn.learner.partition.pair_counts import (
    MAXIMUM_LABELS,
    PairCounts,
    PairCountsState,
    pair_counts_update,
)
from streamlearn.learner.partition.partition_event import PartitionEvent
from streamlearn.learner.partition.recent_label_sets import (
    MAXIMUM_MEMBERS,
    MAXIMUM_ROWS,
    RecentLabelSetsState,
    empty_recent_sets,
    linear_recent_sets,
    recent_sets_push,
    recent_sets_retire,
)
from streamlearn.state.array_names import PartitionPart, join_parts
from streamlearn.state.lazy_arrays import split_parts

FIRST_PERIOD = 100
"""Rows between tests during the first FIRST_PERIODS_UNTIL rows."""

FIRST_PERIODS_UNTIL = 500

PERIOD = 500
"""Rows between tests afterwards."""

REFILL_ROWS = 2_000
"""Most earlier rows that both trees learn before a test."""

FEWEST_ROWS = 30
"""Fewest rows of a test."""

STANDARD_ERRORS = 3.0
"""Standard errors that the mean gain of a new tree must exceed."""

LEAST_GAIN = 1.0
"""Nats that the total gain of a new tree must exceed."""

_OFFSETS = f"{PartitionPart.RECENT_LABEL_SETS}.offsets"
_MEMBERS = f"{PartitionPart.RECENT_LABEL_SETS}.members"


class Clock(IntEnum):
    """Fields of `PartitionState.clock`."""

    ROWS_SINCE_TEST = 0  # rows since the last test
    PERIOD_ROWS = 1  # length of the current period
    ROWS = 2  # rows learnt
    VERSION = 3  # how often labels have moved to another cluster
    TESTS = 4  # tests run
    SWITCHES = 5  # how often another tree became the current one
    WAITING = 6  # 1 if a candidate waits for its test
    MODE = 7  # the `PartitionMode`


CLOCK_FIELDS = len(Clock)


class RetestTime(IntEnum):
    """When the partition can be tested before its period ends."""

    NEVER = 0  # no candidate waits
    LATER = 1  # after more rows
    NOW = 2  # after this row


class PartitionState(NamedTuple):
    """The arrays that kernels read and write.

    Attributes
    ----------
    counts
        Decayed counts of labels and pairs.
    recent_sets
        The most recent label sets.
    tree
        The current tree, of the labels known so far.
    cluster_of
        int32[labels], top-level cluster of each label: 0 to 15, in mode ``singletons`` the slot; -1 in spare capacity.
    clock
        int64[CLOCK_FIELDS], fields `Clock`.
    """

    counts: PairCountsState
    recent_sets: RecentLabelSetsState
    tree: TreeState
    cluster_of: np.ndarray
    clock: np.ndarray


@kernel
def partition_recluster(state: PartitionState) -> None:
    """Update the top-level cluster of every known label."""
    for label in range(state.tree.size[TreeSize.LABELS]):
        state.cluster_of[label] = mode_cluster(state.clock[Clock.MODE], state.tree, label)


@kernel
def partition_know(state: PartitionState, known: int) -> None:
    """Add the label slots below ``known`` that are not in the tree yet to it, in their order.

    Call it with the labels known at a row, before the row is learnt. The capacity must suffice (`Partition.grow`).
    """
    while state.tree.size[TreeSize.LABELS] < known:
        label = state.tree.size[TreeSize.LABELS]
        if tree_join(state.tree):
            partition_recluster(state)
            state.clock[Clock.VERSION] += 1
        else:
            state.cluster_of[label] = mode_cluster(state.clock[Clock.MODE], state.tree, label)


@kernel
def partition_learn_row(state: PartitionState, members: np.ndarray) -> None:
    """Learn one complete label set.

    Parameters
    ----------
    state
        The partition.
    members
        int32[k], distinct slots of the positive labels, all of them known (`partition_know`). May be empty.
    """
    pair_counts_update(state.counts, members)
    recent_sets_push(state.recent_sets, members)
    state.clock[Clock.ROWS_SINCE_TEST] += 1
    state.clock[Clock.ROWS] += 1


@kernel
def partition_due(state: PartitionState) -> bool:
    """Return whether the period has ended: `Partition.run_test` must run before the next row is learnt."""
    return state.clock[Clock.ROWS_SINCE_TEST] >= state.clock[Clock.PERIOD_ROWS]


@kernel
def partition_retest_time(state: PartitionState, complete: bool) -> int | np.int64:
    """Return the `RetestTime` after one more row, which is ``complete`` or not.

    A test needs a candidate, and at least 30 rows since the candidate was built.
    """
    if state.clock[Clock.WAITING] == 0:
        return np.int64(RetestTime.NEVER)
    rows = state.clock[Clock.ROWS_SINCE_TEST] + (1 if complete else 0)
    return np.int64(RetestTime.NOW if rows >= FEWEST_ROWS else RetestTime.LATER)


class Partition:
    """Owns the arrays of the partition, and builds and tests candidate trees.

    Parameters
    ----------
    labels
        Labels known at row 0, slots 0 to ``labels`` - 1.
    maximum
        Most labels that the model may know.
    mode
        Setting ``learner.partition``.
    seed
        Of mode ``random``, at least 0.

    Raises
    ------
    UsageError
        If there is no such mode, or ``maximum`` exceeds the largest size of the dense table of pairs.
    """

    def __init__(self, labels: int = 0, *, maximum: int = 1024, mode: Mode = "jaccard", seed: int = 0) -> None:
        if maximum > MAXIMUM_LABELS:
            raise UsageError(
                f"labels.maximum is {maximum}: the table of label pairs holds at most {MAXIMUM_LABELS} labels; "
                f"set labels.maximum to {MAXIMUM_LABELS} or less"
            )
        self._counts = PairCounts(labels)
        self._candidate = empty_tree(labels)
        self._strategy = strategy_of(parse_mode(mode), seed)
        clock = np.zeros(CLOCK_FIELDS, np.int64)
        clock[Clock.PERIOD_ROWS], clock[Clock.MODE] = FIRST_PERIOD, parse_mode(mode)
        self.state = PartitionState(
            self._counts.state, empty_recent_sets(), empty_tree(labels), np.full(labels, -1, np.int32), clock
        )
        partition_know(self.state, labels)

    @property
    def known(self) -> int:
        """Labels in the tree."""
        return int(self.state.tree.size[TreeSize.LABELS])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[known], the top-level cluster of each label."""
        return self.state.cluster_of[: self.known]

    @property
    def cluster_count(self) -> int:
        """Number of top-level clusters: 0 without labels, else 1 to 16, in mode ``singletons`` one per label."""
        return self._strategy.count_clusters(self.state.tree)

    @property
    def independent(self) -> bool:
        """Whether the children of a node are decoded as independent."""
        return self._strategy.independent

    @property
    def version(self) -> int:
        """How often labels have moved to another cluster; when it grows, clusters are renumbered."""
        return int(self.state.clock[Clock.VERSION])

    @property
    def tests(self) -> int:
        """Tests run so far."""
        return int(self.state.clock[Clock.TESTS])

    @property
    def switches(self) -> int:
        """How often another tree became the current one."""
        return int(self.state.clock[Clock.SWITCHES])

    def grow(self, labels: int) -> None:
        """Allocate at least this many label slots; `partition_know` makes them known."""
        if labels <= self._counts.capacity:
            return
        self._counts.grow(labels)
        self._candidate = grow_tree(self._candidate, labels)
        cluster_of = np.full(labels, -1, np.int32)
        cluster_of[: self.known] = self.cluster_of
        self.state = self.state._replace(
            counts=self._counts.state, tree=grow_tree(self.state.tree, labels), cluster_of=cluster_of
        )

    def retire(self, slot: int) -> None:
        """Forget the rows of one label; its slot stays in the trees for the next label."""
        self._counts.retire(slot)
        recent_sets_retire(self.state.recent_sets, slot)

    def run_test(self, forced: bool = False) -> PartitionEvent | None:
        """Test the waiting candidate against the current tree, then build the next candidate.

        Parameters
        ----------
        forced
            Whether the test runs before the period ends, as after a drift alarm. With fewer than 30 rows since the
            candidate was built such a call does nothing.

        Returns
        -------
        PartitionEvent or None
            None if there was no test: no candidate waits (the first period), there are too few rows, or the mode has
            no tests.
        """
        clock = self.state.clock
        rows = min(int(clock[Clock.ROWS_SINCE_TEST]), MAXIMUM_ROWS)
        if forced and rows < FEWEST_ROWS:
            return None
        if not self._strategy.tests_candidates:
            self._end_period_without_test()
            return None
        event = self._test(rows, forced) if clock[Clock.WAITING] and rows >= FEWEST_ROWS else None
        self._candidate = candidate_tree(self.state.counts, self.known, self._counts.capacity)
        clock[Clock.WAITING] = 1
        clock[Clock.ROWS_SINCE_TEST] = 0
        clock[Clock.PERIOD_ROWS] = FIRST_PERIOD if clock[Clock.ROWS] < FIRST_PERIODS_UNTIL else PERIOD
        return event

    def _test(self, rows: int, forced: bool) -> PartitionEvent:
        candidate = self._candidate
        while candidate.size[TreeSize.LABELS] < self.known:
            tree_join(candidate)
        offsets, members = linear_recent_sets(self.state.recent_sets)
        split = max(len(offsets) - 1 - rows, 0)
        offsets = offsets[max(split - REFILL_ROWS, 0) :]
        found = compare(self.state.tree, candidate, offsets, members, min(split, REFILL_ROWS))
        before = self.cluster_count
        switched = found.gain > STANDARD_ERRORS * found.standard_error and found.gain * found.rows > LEAST_GAIN
        self.state.clock[Clock.TESTS] += 1
        if switched:
            self._switch_to(candidate)
        return PartitionEvent(*found, switched, forced, before, self.cluster_count)

    def _end_period_without_test(self) -> None:
        clock = self.state.clock
        clock[Clock.ROWS_SINCE_TEST] = 0
        clock[Clock.PERIOD_ROWS] = PERIOD
        if clock[Clock.SWITCHES] == 0 and self.known > 0:
            tree = self._strategy.replacement(self.state.counts, self.known, self._counts.capacity)
            if tree is not None:
                self._switch_to(tree)

    def _switch_to(self, tree: TreeState) -> None:
        self.state.clock[Clock.SWITCHES] += 1
        self.state.clock[Clock.VERSION] += 1
        self.state = self.state._replace(tree=tree)
        partition_recluster(self.state)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state as named arrays, without spare capacity."""
        offsets, members = linear_recent_sets(self.state.recent_sets)
        arrays = join_parts(
            {
                PartitionPart.PAIR_COUNTS: self._counts.arrays(self.known),
                PartitionPart.RECENT_LABEL_SETS: {"offsets": offsets, "members": members},
                PartitionPart.TREE: tree_arrays(self.state.tree),
                PartitionPart.CANDIDATE: tree_arrays(self._candidate),
            }
        )
        return arrays | {"clock": self.state.clock}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state that `arrays` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or the arrays do not agree with each other.
        """
        needed = (_OFFSETS, _MEMBERS, "clock")
        missing = [name for name in needed if name not in arrays]
        if missing:
            raise SnapshotError(f"partition: the array {missing[0]!r} is missing from the snapshot")
        parts = {str(part): {} for part in PartitionPart} | split_parts(arrays)
        self._counts.load_arrays(parts[PartitionPart.PAIR_COUNTS])
        capacity = self._counts.capacity
        known = len(parts[PartitionPart.PAIR_COUNTS]["label_weight"])
        tree = tree_from_arrays(parts[PartitionPart.TREE], capacity)
        if tree.size[TreeSize.LABELS] != known:
            raise SnapshotError(
                f"partition: the counts have {known} labels, but the tree has {tree.size[TreeSize.LABELS]}"
            )
        self._candidate = tree_from_arrays(parts[PartitionPart.CANDIDATE], capacity)
        clock, offsets, members = arrays["clock"], arrays[_OFFSETS], arrays[_MEMBERS]
        if clock.shape != self.state.clock.shape:
            raise SnapshotError(f"partition: the array 'clock' should be {self.state.clock.shape}, found {clock.shape}")
        theirs, ours = int(clock[Clock.MODE]), int(self.state.clock[Clock.MODE])
        if theirs != ours:
            raise SnapshotError(
                f"partition: the snapshot was made with learner.partition = {MODES[theirs]}, this model has "
                f"{MODES[ours]}: start the model with the snapshot's setting"
            )
        if not 1 <= len(offsets) <= MAXIMUM_ROWS + 1 or offsets[-1] != len(members) or len(members) > MAXIMUM_MEMBERS:
            raise SnapshotError(f"partition: the arrays {_OFFSETS!r} and {_MEMBERS!r} do not agree")
        if len(members) and not 0 <= members.min() <= members.max() < known:
            raise SnapshotError(f"partition: the label sets contain slot {members.max()}, the model has {known} labels")
        recent_sets = empty_recent_sets()
        for start, stop in pairwise(offsets.tolist()):
            recent_sets_push(recent_sets, members[start:stop])
        self.state = PartitionState(
            self._counts.state, recent_sets, tree, np.full(capacity, -1, np.int32), clock.astype(np.int64)
        )
        partition_recluster(self.state)

    @staticmethod
    def bytes_bound(maximum_labels: int) -> int:
        """Return the largest size in bytes with this many labels, including the table for building a candidate."""
        nodes = node_capacity(maximum_labels)
        tree = 4 * (nodes * (MAXIMUM_CHILDREN + 4) + 2 * maximum_labels)
        recent_sets = 4 * (MAXIMUM_ROWS + MAXIMUM_MEMBERS)
        build = 8 * maximum_labels * maximum_labels
        return PairCounts.bytes_bound(maximum_labels) + build + 2 * tree + recent_sets + 4 * maximum_labels
