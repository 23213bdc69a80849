"""iHOMER as a stream learner: preset ``paper``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventBuffer, LearnerEvent
from streamlearn.learner.ihomer.divisive import DivisiveEvent
from streamlearn.learner.ihomer.hierarchy import ClusterAlarm, Hierarchy, ihomer_begin_label
from streamlearn.learner.ihomer.learn_row import ihomer_due
from streamlearn.learner.ihomer.predict_row import ihomer_predict_row
from streamlearn.learner.ihomer.state import ChangeKind
from streamlearn.learner.ihomer.step import IHomerStepScratch, IHomerStepState, ihomer_step
from streamlearn.learner.operations import LEARN, Answers, Correction, Operations
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.learner.scores import probability
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.array_names import LearnerPart, join_parts
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import split_parts

_ACTIONS = {ChangeKind.BEGUN: "retest", ChangeKind.SWITCHED: "rebuild", ChangeKind.PRUNED: "none"}
"""Field ``action`` of the event of a change of a tree."""


class IHomerLearner(StreamLearner):
    """Owns the state of iHOMER and applies operations to it.

    Parameters
    ----------
    labels:
        Label slots that exist before the first row.
    maximum_labels:
        Label slots at most.
    scores_top:
        Labels besides those predicted that get a score.
    minimum_support:
        Positives before a label may be predicted.
    partition:
        Where the clusters come from: see `Hierarchy`.
    seed:
        Seed of all random numbers, at least 0.
    """

    def __init__(
        self,
        labels: int = 0,
        *,
        maximum_labels: int = 1024,
        scores_top: int = 5,
        minimum_support: int = 1,
        partition: Mode = "jaccard",
        seed: int = 0,
    ) -> None:
        super().__init__(scores_top, minimum_support)
        self._hierarchy = Hierarchy(partition, seed=seed, maximum=maximum_labels)
        self._state = IHomerStepState(
            hierarchy=self._hierarchy.state,
            positives=np.zeros(0, np.int64),
            learned=np.zeros(1, np.int64),
        )
        self._scratch = IHomerStepScratch(
            hierarchy=self._hierarchy.scratch,
            logits=np.zeros(0, np.float32),
            own=np.zeros(0, np.uint8),
            chosen=np.zeros(0, np.uint8),
            allowed=np.zeros(0, np.uint8),
            truth=np.zeros(0, np.int8),
            members=np.zeros(0, np.int32),
            order=np.zeros(0, np.int32),
        )
        self.join_labels(labels)

    @property
    def learned(self) -> int:
        """Rows learnt so far."""
        return int(self._state.learned[0])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[labels], the cluster of each label."""
        return self._hierarchy.cluster_of

    @property
    def cluster_count(self) -> int:
        """Clusters that have labels."""
        return len(np.unique(self.cluster_of))

    @property
    def counts(self) -> dict[str, int]:
        """Counts of what happened to the trees: see `Hierarchy.counts`."""
        return self._hierarchy.counts

    def _assemble(self) -> None:
        """Take over the current arrays of the hierarchy."""
        self._state = self._state._replace(hierarchy=self._hierarchy.state)
        self._scratch = self._scratch._replace(hierarchy=self._hierarchy.scratch)

    def _grow(self, features: int, labels: int) -> None:
        self._hierarchy.grow(features, labels)
        state = self._state
        self._state = IHomerStepState(self._hierarchy.state, grow(state.positives, labels), state.learned)
        _, *per_label = self._scratch
        self._scratch = IHomerStepScratch(self._hierarchy.scratch, *(grow(array, labels) for array in per_label))

    def grow_features(self, features: int) -> None:
        """Grow the capacity to this many columns."""
        if features > self.features:
            self.features = features
            self._grow(features, self.labels)

    def join_labels(self, labels: int) -> None:
        """Add the label slots up to ``labels`` (excluded); they count as absent from the rows learnt so far."""
        first = self.labels
        if labels <= first:
            return
        self.labels = labels
        self._grow(self.features, labels)
        for label in range(first, labels):
            ihomer_begin_label(self._hierarchy.state, label)

    def replace_label(self, slot: int) -> None:
        """Reset a slot and add another label in it."""
        self._hierarchy.retire(slot)
        self._state.positives[slot] = 0
        ihomer_begin_label(self._hierarchy.state, slot)

    def _step(
        self, operations: Operations, answers: Answers, buffer: EventBuffer, position: int
    ) -> tuple[int, int | np.int64]:
        return ihomer_step(
            self._state,
            self._scratch,
            operations,
            answers,
            position,
            self.labels,
            self.scores_top,
            self.minimum_support,
        )

    def _restructure(self, operation: int, happened: list[LearnerEvent]) -> list[LearnerEvent]:
        events = self._tree_events(operation)
        if ihomer_due(self._hierarchy.state):
            before = self.cluster_of.copy()
            alarms, tested = self._hierarchy.restructure()
            events += [self._alarm_event(operation, alarm, before) for alarm in alarms]
            events += [self._partition_event(operation, event) for event in tested]
            self._assemble()
        return events

    def _tree_events(self, operation: int) -> list[LearnerEvent]:
        scratch = self._hierarchy.scratch
        count = int(scratch.change_count[0])
        events = []
        for (kind, cluster, rows), (before, after) in zip(
            scratch.changes[:count].tolist(), scratch.change_losses[:count].tolist(), strict=True
        ):
            action = _ACTIONS[kind]
            events.append(self._event(operation, "tree", cluster, self.cluster_of, "loss", before, after, rows, action))
        scratch.change_count[0] = 0
        return events

    def _alarm_event(self, operation: int, alarm: ClusterAlarm, cluster_of: np.ndarray) -> LearnerEvent:
        means = alarm.before, alarm.after
        return self._event(operation, "drift", alarm.cluster, cluster_of, "loss", *means, alarm.rows, "rebuild")

    def _partition_event(self, operation: int, event: DivisiveEvent) -> LearnerEvent:
        means = event.diameter, event.after
        subject = event.cluster, self.cluster_of
        return self._event(operation, "partition", *subject, "dissimilarity", *means, event.rows, "rebuild")

    def _event(
        self,
        operation: int,
        kind: str,
        cluster: int,
        cluster_of: np.ndarray,
        signal: str,
        before: float,
        after: float,
        rows: int,
        action: str,
    ) -> LearnerEvent:
        """Return an event of a cluster, whose labels are those of ``cluster_of``."""
        members = np.flatnonzero(cluster_of == cluster)
        row = self.learned - 1
        return LearnerEvent(
            operation,
            kind,
            "cluster",
            int(members[0]) if members.size else self.labels,
            members.size,
            signal,
            "worse" if after > before else "better",
            before,
            after,
            rows,
            max(0, row - rows + 1),
            row,
            action,
        )

    def correct(self, correction: Correction) -> list[LearnerEvent]:
        """Learn what a second truth for a row adds or corrects.

        iHOMER does not keep what it learnt from a row. A truth that is the first complete one is learnt as a row of its
        own; from any other truth the regressions learn the labels that it changes.
        """
        truth = correction.after if correction.completes else correction.changed
        slots = np.flatnonzero(truth == 1 if correction.completes else truth >= 0).astype(np.int32)
        zero = np.zeros(1, np.int64)
        _, events = self.walk(
            Operations(
                np.array([LEARN], np.uint8),
                zero,
                np.array([correction.entries.columns.size], np.int64),
                correction.entries,
                np.array([0, slots.size], np.int64),
                slots,
                truth[slots],
                np.array([correction.completes], np.uint8),
                zero,
                zero,
                np.zeros(1),
                np.full(1, -1, np.int64),
                np.zeros(2, np.int64),
                np.zeros(0, np.int32),
                np.zeros(0, np.float32),
            )
        )
        return events

    def probabilities(self, entries: Entries) -> np.ndarray:
        """Return every label's probability for one instance, float64[labels]; nothing changes."""
        scratch = self._scratch
        ihomer_predict_row(
            self._hierarchy.state,
            self._hierarchy.scratch,
            entries.columns,
            entries.values,
            entries.bins,
            self.labels,
            scratch.logits,
            scratch.own,
        )
        out = np.zeros(self.labels)
        for label in range(self.labels):
            out[label] = probability(scratch.logits[label])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the complete state; spare capacity is not part of it."""
        return join_parts({LearnerPart.IHOMER: self._hierarchy.arrays(self.features, self.labels)}) | {
            "sizes": np.array([self.features, self.labels], np.int64),
            "positives": self._state.positives[: self.labels],
            "learned": self._state.learned,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load a state from the arrays of a snapshot; raises `SnapshotError` when a part does not fit."""
        hierarchy = split_parts(arrays).get(LearnerPart.IHOMER)
        if not hierarchy:
            raise SnapshotError(
                "the snapshot is of another preset than this model's preset, paper: use the preset of the snapshot"
            )
        features, labels = (int(size) for size in arrays["sizes"])
        self.features, self.labels = features, labels
        self._grow(features, labels)
        self._hierarchy.load_arrays(hierarchy, features, labels)
        load_labels(self._state.positives, arrays["positives"], labels)
        load_whole(self._state.learned, arrays["learned"])
        self._assemble()

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size of the state in bytes with that many columns and labels."""
        return Hierarchy.bytes_bound(features, labels) + 8 * labels + 24
