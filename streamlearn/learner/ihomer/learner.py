"""The published method as a learner of streams: preset ``paper``."""

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
from streamlearn.learner.ihomer.state import BEGUN, TAKEN_OVER
from streamlearn.learner.ihomer.step import IHomerStepScratch, IHomerStepState, ihomer_step
from streamlearn.learner.operations import Answers, Correction, OperationKind, Operations
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.learner.scores import probability
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.array_names import LearnerPart, join_parts
from streamlearn.state.growth import grown
from streamlearn.state.lazy_arrays import parts_of


class IHomerLearner(StreamLearner):
    """Owns the published method's state and walks operations.

    Parameters
    ----------
    labels:
        Label slots that exist before the first row.
    maximum_labels:
        Label slots at most.
    scores_top:
        Labels beside the answer that get a score.
    minimum_support:
        Positives before a label may be predicted.
    partition:
        Where the clusters come from, as `Hierarchy` has it.
    seed:
        Of whatever is random, at least 0.
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
        self._paper = Hierarchy(partition, seed=seed, maximum=maximum_labels)
        self._positives = np.zeros(0, np.int64)
        self._learned = np.zeros(1, np.int64)
        self._logits = np.zeros(0, np.float32)
        self._own, self._chosen, self._allowed = (np.zeros(0, np.uint8) for _ in range(3))
        self._truth = np.zeros(0, np.int8)
        self._members, self._order = np.zeros(0, np.int32), np.zeros(0, np.int32)
        self._assemble()
        self.join_labels(labels)

    @property
    def learned(self) -> int:
        """Rows learnt so far."""
        return int(self._learned[0])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[labels], the cluster of each label."""
        return self._paper.cluster_of

    @property
    def cluster_count(self) -> int:
        """Clusters that labels are in."""
        return len(np.unique(self.cluster_of))

    @property
    def counts(self) -> dict[str, int]:
        """What has happened to the trees so far, as `Hierarchy.counts` has it."""
        return self._paper.counts

    def _assemble(self) -> None:
        self._state = IHomerStepState(self._paper.state, self._positives, self._learned)
        self._scratch = IHomerStepScratch(
            self._paper.scratch,
            self._logits,
            self._own,
            self._chosen,
            self._allowed,
            self._truth,
            self._members,
            self._order,
        )

    def _make_room(self, features: int, labels: int) -> None:
        self._paper.grow(features, labels)
        self._positives = grown(self._positives, labels)
        self._logits = grown(self._logits, labels)
        self._own, self._chosen, self._allowed = (
            grown(array, labels) for array in (self._own, self._chosen, self._allowed)
        )
        self._truth = grown(self._truth, labels)
        self._members, self._order = grown(self._members, labels), grown(self._order, labels)
        self._assemble()

    def grow_features(self, features: int) -> None:
        """Make room for this many columns."""
        if features > self.features:
            self.features = features
            self._make_room(features, self.labels)

    def join_labels(self, labels: int) -> None:
        """Let the label slots up to ``labels`` (excluded) join after the rows learnt so far."""
        first = self.labels
        if labels <= first:
            return
        self.labels = labels
        self._make_room(self.features, labels)
        for label in range(first, labels):
            ihomer_begin_label(self._paper.state, label)

    def replace_label(self, slot: int) -> None:
        """Empty a slot and let another label join in it."""
        self._paper.retire(slot)
        self._positives[slot] = 0
        ihomer_begin_label(self._paper.state, slot)

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

    def _restructure(self, operation: int, raised: list[LearnerEvent]) -> list[LearnerEvent]:
        events = self._tree_events(operation)
        if ihomer_due(self._paper.state):
            before = self.cluster_of.copy()
            alarms, tested = self._paper.restructure()
            events += [self._alarm_event(operation, alarm, before) for alarm in alarms]
            events += [self._partition_event(operation, event) for event in tested]
            self._assemble()
        return events

    def _tree_events(self, operation: int) -> list[LearnerEvent]:
        scratch = self._paper.scratch
        count = int(scratch.change_count[0])
        events = []
        for (kind, cluster, rows), (before, after) in zip(
            scratch.changes[:count].tolist(), scratch.change_losses[:count].tolist(), strict=True
        ):
            action = "retest" if kind == BEGUN else "rebuild" if kind == TAKEN_OVER else "none"
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
        """Return an event of a cluster that ``cluster_of`` says the labels of."""
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

        The published method keeps nothing that says what it learnt from a row. A truth that says all labels for the
        first time is learnt as a row of its own; of any other one the regressions learn the labels that it changes.
        """
        truth = correction.after if correction.completes else correction.changed
        slots = np.flatnonzero(truth == 1 if correction.completes else truth >= 0).astype(np.int32)
        zero = np.zeros(1, np.int64)
        _, events = self.apply(
            Operations(
                np.array([OperationKind.LEARN], np.uint8),
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
            self._paper.state,
            self._paper.scratch,
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
        """Return the complete state by name; spare capacity is not part of it."""
        return join_parts({LearnerPart.IHOMER: self._paper.arrays(self.features, self.labels)}) | {
            "sizes": np.array([self.features, self.labels], np.int64),
            "positives": self._positives[: self.labels],
            "learned": self._learned,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state over; raises `SnapshotError` when a part does not fit."""
        own = parts_of(arrays).get(LearnerPart.IHOMER)
        if not own:
            raise SnapshotError("the snapshot is of another preset than this model's, paper: start it with that preset")
        features, labels = (int(size) for size in arrays["sizes"])
        self.features, self.labels = features, labels
        self._make_room(features, labels)
        self._paper.load_arrays(own, features, labels)
        load_labels(self._positives, arrays["positives"], labels)
        load_whole(self._learned, arrays["learned"])
        self._assemble()

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size of the state in bytes with that many columns and labels."""
        return Hierarchy.bytes_bound(features, labels) + 8 * labels + 24
