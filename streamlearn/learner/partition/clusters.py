"""The partition of the labels: the current tree of clusters, the candidate that waits, and when the two are compared.

At the end of every period (100 rows during the first 500, then 500) the candidate built one period earlier is tested
against the current tree on the rows since, both refilled from up to 2,000 rows before. It takes the tree's place when
its mean gain in log probability exceeds 3 standard errors and its gain over all these rows 1 nat: a difference that is
the same on every row is certain at any size. Then the next candidate is built from the counts at hand. A
drift alarm may call the test before the period ends.

The first tree is made of the label slots in their order, 16 a group: no row says anything else yet. It goes by the same
test as any other, so every later tree has earned its place.

Only complete label sets count as rows here.

The other modes are for comparison and hold no test. ``whole`` is one cluster, ``singletons`` one for each label; both
leave the tree in the slots' order, and over it ``singletons`` decodes every node's children as independent. ``random``
takes the shape of the first candidate, at the end of the first period, with the labels drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import (
    LABELS,
    MAXIMUM_CHILDREN,
    TreeState,
    empty_tree,
    grow_tree,
    node_capacity,
    tree_arrays,
    tree_cluster,
    tree_cluster_count,
    tree_from_arrays,
    tree_join,
)
from streamlearn.learner.partition.code_length import compare
from streamlearn.learner.partition.comparison_modes import JACCARD, MODES, RANDOM, SINGLETONS, WHOLE, Mode, mode_number
from streamlearn.learner.partition.linkage import candidate_tree
from streamlearn.learner.partition.pair_counts import (
    MAXIMUM_LABELS,
    PairCounts,
    PairCountsState,
    pair_counts_update,
)
from streamlearn.learner.partition.recent_label_sets import (
    MAXIMUM_MEMBERS,
    MAXIMUM_ROWS,
    RecentLabelSetsState,
    empty_recent_sets,
    linear_recent_sets,
    recent_sets_push,
    recent_sets_retire,
)
from streamlearn.numerics.random import draw
from streamlearn.state.array_names import PartitionPart, join_parts
from streamlearn.state.lazy_arrays import split_parts

FIRST_PERIOD = 100
PERIOD = 500
FIRST_PERIODS_UNTIL = 500
REFILL_ROWS = 2_000
FEWEST_ROWS = 30
STANDARD_ERRORS = 3.0
LEAST_GAIN = 1.0

SINCE, PERIOD_ROWS, SEEN, VERSION, TESTS, SWITCHES, WAITING, MODE, CLOCK = range(9)
_OFFSETS = f"{PartitionPart.RECENT_LABEL_SETS}.offsets"
_MEMBERS = f"{PartitionPart.RECENT_LABEL_SETS}.members"

NEVER, LATER, NOW = range(3)


class PartitionState(NamedTuple):
    """What the kernels read and write.

    Attributes
    ----------
    counts
        Decayed counts of labels and pairs.
    replay
        The last label sets.
    tree
        The current tree; it holds the labels known so far.
    cluster_of
        int32[labels], top-level cluster of each label, 0 to 15, or as the mode says; -1 in spare room.
    clock
        int64[CLOCK]: rows since the last test; rows that the period lasts; rows ever; how often labels have moved to
        another cluster; tests; switches; 1 if a candidate waits; the mode's place in `modes.MODES`.
    """

    counts: PairCountsState
    replay: RecentLabelSetsState
    tree: TreeState
    cluster_of: np.ndarray
    clock: np.ndarray


@dataclass(frozen=True, slots=True)
class PartitionEvent:
    """The outcome of one code-length test.

    Attributes
    ----------
    gain
        Mean gain of the candidate over the current tree, nats a row.
    standard_error
        Of the gain, nats a row.
    code_length
        Mean code length of the tree before the test, nats a row.
    rows
        Rows that both have coded.
    switched
        Whether the candidate has become the current tree.
    forced
        Whether the test was called before the period's end.
    clusters_before, clusters_after
        Number of top-level clusters.
    """

    gain: float
    standard_error: float
    code_length: float
    rows: int
    switched: bool
    forced: bool
    clusters_before: int
    clusters_after: int


@kernel
def _cluster(state: PartitionState, label: int | np.int64) -> int | np.int64:
    """Return the top-level cluster of a label in the tree."""
    mode = state.clock[MODE]
    if mode == WHOLE:
        return np.int64(0)
    if mode == SINGLETONS:
        return np.int64(label)
    return np.int64(tree_cluster(state.tree, label))


@kernel
def partition_recluster(state: PartitionState) -> None:
    """Write the top-level cluster of every known label."""
    for label in range(state.tree.size[LABELS]):
        state.cluster_of[label] = _cluster(state, label)


@kernel
def partition_know(state: PartitionState, known: int) -> None:
    """Give the label slots below ``known`` that are not in the tree yet a place in it, in their order.

    Call it with the labels known as of the row, before the row is learnt from. Room must be there (``grow``).
    """
    while state.tree.size[LABELS] < known:
        label = state.tree.size[LABELS]
        if tree_join(state.tree):
            partition_recluster(state)
            state.clock[VERSION] += 1
        else:
            state.cluster_of[label] = _cluster(state, label)


@kernel
def partition_learn_row(state: PartitionState, members: np.ndarray) -> None:
    """Learn from one complete label set.

    Parameters
    ----------
    state
        The partition.
    members
        int32[k], distinct slots of the labels that are on, all of them known (``partition_know``). May be empty.
    """
    pair_counts_update(state.counts, members)
    recent_sets_push(state.replay, members)
    state.clock[SINCE] += 1
    state.clock[SEEN] += 1


@kernel
def due(state: PartitionState) -> bool:
    """Return whether the period has ended: ``Partition.run_test`` must run before the next row is learnt from."""
    return state.clock[SINCE] >= state.clock[PERIOD_ROWS]


@kernel
def partition_testable(state: PartitionState, complete: bool) -> int:
    """Return whether a test may come before the period's end, after one more row that is ``complete`` or not.

    It is NEVER without a candidate that waits, LATER with fewer than 30 rows since it was built, else NOW.
    """
    if state.clock[MODE] != JACCARD or state.clock[WAITING] == 0:
        return NEVER
    rows = state.clock[SINCE] + (1 if complete else 0)
    return NOW if rows >= FEWEST_ROWS else LATER


class Partition:
    """Holds, names and grows the partition, and runs what is too rare for a row's way.

    Parameters
    ----------
    labels
        Labels known at row 0, slots 0 to ``labels`` - 1.
    maximum
        The most labels that the model may come to know.
    mode
        Where the clusters come from.
    seed
        Of mode ``random``, at least 0.

    Raises
    ------
    UsageError
        If the mode has another name, or ``maximum`` is more than the dense table of pairs is made for.
    """

    def __init__(self, labels: int = 0, *, maximum: int = 1024, mode: Mode = "jaccard", seed: int = 0) -> None:
        if maximum > MAXIMUM_LABELS:
            raise UsageError(
                f"labels.maximum is {maximum}: the table of label pairs is made for at most {MAXIMUM_LABELS} labels; "
                f"set labels.maximum to {MAXIMUM_LABELS} or less"
            )
        self._counts = PairCounts(labels)
        self._candidate = empty_tree(labels)
        self._seed = seed
        clock = np.zeros(CLOCK, np.int64)
        clock[PERIOD_ROWS], clock[MODE] = FIRST_PERIOD, mode_number(mode)
        self.state = PartitionState(
            self._counts.state, empty_recent_sets(), empty_tree(labels), np.full(labels, -1, np.int32), clock
        )
        partition_know(self.state, labels)

    @property
    def known(self) -> int:
        """Labels in the tree."""
        return int(self.state.tree.size[LABELS])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[known], the top-level cluster of each label."""
        return self.state.cluster_of[: self.known]

    @property
    def cluster_count(self) -> int:
        """Number of top-level clusters: 0 without labels, else 1 to 16, or as the mode says."""
        mode = self.state.clock[MODE]
        if mode == SINGLETONS:
            return self.known
        if mode == WHOLE:
            return min(self.known, 1)
        return int(tree_cluster_count(self.state.tree))

    @property
    def independent(self) -> bool:
        """Whether a node's children are to be decoded as independent."""
        return bool(self.state.clock[MODE] == SINGLETONS)

    @property
    def version(self) -> int:
        """How often labels have moved to another cluster; when it grows, clusters have new numbers."""
        return int(self.state.clock[VERSION])

    @property
    def tests(self) -> int:
        """Tests run so far."""
        return int(self.state.clock[TESTS])

    @property
    def switches(self) -> int:
        """Tests so far that the candidate has won."""
        return int(self.state.clock[SWITCHES])

    def grow(self, labels: int) -> None:
        """Make room for this many label slots; which of them are known is for ``partition_know`` to say."""
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
        """Forget what was seen of one label; its slot keeps its place in the trees for the next label."""
        self._counts.retire(slot)
        recent_sets_retire(self.state.replay, slot)

    def run_test(self, forced: bool = False) -> PartitionEvent | None:
        """Test the waiting candidate against the current tree, then build the next one.

        Parameters
        ----------
        forced
            Whether the test comes before the period's end, as after a drift alarm. With fewer than 30 rows since the
            candidate was built such a call does nothing.

        Returns
        -------
        PartitionEvent or None
            None if no candidate waits (the first period), or too few rows have passed.
        """
        clock = self.state.clock
        rows = min(int(clock[SINCE]), MAXIMUM_ROWS)
        if forced and rows < FEWEST_ROWS:
            return None
        if clock[MODE] != JACCARD:
            clock[SINCE] = 0
            clock[PERIOD_ROWS] = PERIOD
            if clock[MODE] == RANDOM and clock[SWITCHES] == 0 and self.known > 0:
                self._take_over(self._shuffled())
            return None
        event = self._test(rows, forced) if clock[WAITING] and rows >= FEWEST_ROWS else None
        self._candidate = candidate_tree(self.state.counts, self.known, self._counts.capacity)
        clock[WAITING] = 1
        clock[SINCE] = 0
        clock[PERIOD_ROWS] = FIRST_PERIOD if clock[SEEN] < FIRST_PERIODS_UNTIL else PERIOD
        return event

    def _test(self, rows: int, forced: bool) -> PartitionEvent:
        candidate = self._candidate
        while candidate.size[LABELS] < self.known:
            tree_join(candidate)
        offsets, members = linear_recent_sets(self.state.replay)
        split = max(len(offsets) - 1 - rows, 0)
        offsets = offsets[max(split - REFILL_ROWS, 0) :]
        found = compare(self.state.tree, candidate, offsets, members, min(split, REFILL_ROWS))
        before = self.cluster_count
        switched = found.gain > STANDARD_ERRORS * found.standard_error and found.gain * found.rows > LEAST_GAIN
        clock = self.state.clock
        clock[TESTS] += 1
        if switched:
            self._take_over(candidate)
        return PartitionEvent(*found, switched, forced, before, self.cluster_count)

    def _take_over(self, tree: TreeState) -> None:
        self.state.clock[SWITCHES] += 1
        self.state.clock[VERSION] += 1
        self.state = self.state._replace(tree=tree)
        partition_recluster(self.state)

    def _shuffled(self) -> TreeState:
        """Return the candidate of the counts at hand with the labels in places drawn at random."""
        tree = candidate_tree(self.state.counts, self.known, self._counts.capacity)
        order = list(range(self.known))
        for last in range(self.known - 1, 0, -1):
            place = int(draw(self._seed, last, 0)) % (last + 1)
            order[last], order[place] = order[place], order[last]
        parents, positions = tree.leaf_parent[order].copy(), tree.leaf_position[order].copy()
        for label, (parent, position) in enumerate(zip(parents.tolist(), positions.tolist(), strict=True)):
            tree.leaf_parent[label], tree.leaf_position[label] = parent, position
            tree.children[parent, position] = label
        return tree

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name; spare room is not state."""
        offsets, members = linear_recent_sets(self.state.replay)
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
        """Take over a state that ``arrays`` returned.

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
        if tree.size[LABELS] != known:
            raise SnapshotError(f"partition: counts of {known} labels, but a tree of {tree.size[LABELS]}")
        self._candidate = tree_from_arrays(parts[PartitionPart.CANDIDATE], capacity)
        clock, offsets, members = arrays["clock"], arrays[_OFFSETS], arrays[_MEMBERS]
        if clock.shape != self.state.clock.shape:
            raise SnapshotError(f"partition: the array 'clock' should be {self.state.clock.shape}, found {clock.shape}")
        if clock[MODE] != self.state.clock[MODE]:
            raise SnapshotError(
                f"partition: the snapshot was made with learner.partition = {MODES[int(clock[MODE])]}, this model has "
                f"{MODES[int(self.state.clock[MODE])]}: start it with that setting"
            )
        if not 1 <= len(offsets) <= MAXIMUM_ROWS + 1 or offsets[-1] != len(members) or len(members) > MAXIMUM_MEMBERS:
            raise SnapshotError(f"partition: the arrays {_OFFSETS!r} and {_MEMBERS!r} do not agree")
        if len(members) and not 0 <= members.min() <= members.max() < known:
            raise SnapshotError(f"partition: the label sets hold slot {members.max()}, the model has {known} labels")
        replay = empty_recent_sets()
        for start, stop in pairwise(offsets.tolist()):
            recent_sets_push(replay, members[start:stop])
        self.state = PartitionState(
            self._counts.state, replay, tree, np.full(capacity, -1, np.int32), clock.astype(np.int64)
        )
        partition_recluster(self.state)

    @staticmethod
    def bytes_bound(maximum_labels: int) -> int:
        """Return the most bytes held with this many labels, the table that a build needs included."""
        nodes = node_capacity(maximum_labels)
        tree = 4 * (nodes * (MAXIMUM_CHILDREN + 4) + 2 * maximum_labels)
        replay = 4 * (MAXIMUM_ROWS + MAXIMUM_MEMBERS)
        build = 8 * maximum_labels * maximum_labels
        return PairCounts.bytes_bound(maximum_labels) + build + 2 * tree + replay + 4 * maximum_labels
