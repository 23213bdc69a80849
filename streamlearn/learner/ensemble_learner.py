"""The ensemble learner: experts, mixer, decision, partition and drift detectors as one learner."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.correction import correct_row
from streamlearn.learner.decode.decision import Decision
from streamlearn.learner.decode.joint_posterior import PosteriorParts
from streamlearn.learner.decode.learned_pool import learned_pool_begin_label
from streamlearn.learner.decode.pooled_sets import CAPACITY
from streamlearn.learner.drift.detectors import DriftDetectors, Retest, cluster_loss_scratch
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventBuffer, LearnerEvent, drain, event_buffer
from streamlearn.learner.experts.ensemble import Ensemble, ensemble_begin_label, ensemble_history_features
from streamlearn.learner.experts.logit_rows import EXPERT_NAMES, LogitRow
from streamlearn.learner.experts.neighbour_search import NEIGHBOURS
from streamlearn.learner.experts.neighbour_window import MAXIMUM_KNOWN
from streamlearn.learner.experts.rates import Rate
from streamlearn.learner.mixture.logistic_mixing import Mixer, mixer_begin_label
from streamlearn.learner.operations import Answers, Correction, Operations
from streamlearn.learner.partition.clusters import (
    Partition,
    RetestTime,
    partition_due,
    partition_know,
    partition_retest_time,
)
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.learner.scores import probability
from streamlearn.learner.step import COUNTERS, Counter, LearnerState, NeighbourSets, Scratch, predict_logits, step
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.array_names import LearnerPart, join_parts
from streamlearn.state.growth import capacity, grow
from streamlearn.state.lazy_arrays import split_parts

MAXIMUM_CLUSTERS = 64
"""Bound of the top-level clusters in all modes but ``singletons``, which has one per label."""


@kernel
def begin_label(state: LearnerState, label: int, absent: float) -> None:
    """Initialise a label that joins after rows were learnt in which it was 0, in every part that has weights for it.

    ``absent`` is the probability that such a label is 1 in a row.
    """
    bias = log64(absent) - log64(1.0 - absent)
    ensemble_begin_label(state.ensemble, label, bias)
    mixer_begin_label(state.mixer, label)
    learned_pool_begin_label(state.decision.pool, label)


class EnsembleLearner(StreamLearner):
    """Owns the state of all parts and applies operations.

    Parameters
    ----------
    labels:
        Label slots that exist before the first row.
    maximum_labels:
        Most label slots.
    scores_top:
        Labels that get a score beside those of the answer.
    minimum_support:
        Positive rows before a label may be predicted.
    experts:
        The experts of the ensemble, of `experts.logit_rows.EXPERT_NAMES`.
    partition:
        The mode of the partition (`partition.comparison_modes`).
    seed:
        Of mode ``random``, at least 0.
    parts:
        The parts of the posterior over label sets, as in `decode.joint_posterior`.
    pooled_sets:
        Most label sets in the pool, at most `decode.pooled_sets.CAPACITY`.
    detectors:
        Empty drift detectors; by default those of the default settings.
    """

    def __init__(
        self,
        labels: int = 0,
        *,
        maximum_labels: int = 1024,
        scores_top: int = 5,
        minimum_support: int = 1,
        experts: Collection[str] = EXPERT_NAMES,
        partition: Mode = "jaccard",
        seed: int = 0,
        parts: int = PosteriorParts.BOTH,
        pooled_sets: int = CAPACITY,
        detectors: DriftDetectors | None = None,
    ) -> None:
        super().__init__(scores_top, minimum_support)
        self.ensemble = Ensemble(experts)
        self.mixer = Mixer(self.ensemble.initial_weights)
        self.decision = Decision(parts, pooled_sets)
        self.partition = Partition(maximum=maximum_labels, mode=partition, seed=seed)
        self.detectors = detectors or DriftDetectors()
        self._counters = np.zeros(COUNTERS, np.int64)
        self._used = np.zeros(0, np.uint8)
        self._positives = np.zeros(0, np.int64)
        self._previous = np.zeros(0, np.int8)
        self._label_capacity = 0
        self._grow_labels(labels)
        self.labels = labels
        partition_know(self.partition.state, labels)
        self.decision.follow(self.partition)
        self._restart_detectors()
        self._assemble()

    @property
    def learned(self) -> int:
        """Rows learnt so far."""
        return int(self._counters[Counter.ROWS])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[labels], the top-level cluster of each label."""
        return self.partition.cluster_of

    @property
    def cluster_count(self) -> int:
        """Top-level clusters of labels."""
        return self.partition.cluster_count

    def _grow_labels(self, labels: int) -> None:
        size = capacity(max(labels, 1), self._label_capacity)
        if size == self._label_capacity:
            return
        self._label_capacity = size
        self._cluster_losses = cluster_loss_scratch(max(size, MAXIMUM_CLUSTERS))
        self.ensemble.grow(self.features, size)
        self.mixer.grow(size)
        self.decision.grow(size)
        self.partition.grow(size)
        self._positives = grow(self._positives, size)
        self._previous = grow(self._previous, size)
        self._label_scratch = {
            "mixed": np.zeros(size, np.float32),
            "truth": np.zeros(size, np.int8),
            "order": np.zeros(size, np.int32),
            "allowed": np.zeros(size, np.uint8),
            "chosen": np.zeros(size, np.uint8),
            "members": np.zeros(size, np.int32),
        }
        self._neighbour_sets = NeighbourSets(
            np.zeros(NEIGHBOURS, np.int64),
            np.zeros(NEIGHBOURS),
            np.zeros(NEIGHBOURS + 1, np.int64),
            np.zeros(min(NEIGHBOURS * size, MAXIMUM_KNOWN) if "neighbours" in self.ensemble.names else 0, np.int32),
        )

    def _restart_detectors(self) -> None:
        """Start over with one empty drift detector per top-level cluster."""
        self.detectors.restart(self.partition.cluster_count)

    def _assemble(self) -> None:
        self._state = LearnerState(
            self.ensemble.state,
            self.mixer.state,
            self.decision.state,
            self.partition.state,
            self.detectors.state,
            self._counters,
            self._positives,
            self._previous,
            self._used,
        )
        self._scratch = Scratch(
            **self._label_scratch,
            ensemble=self.ensemble.scratch,
            mixer=self.mixer.scratch,
            decision=self.decision.scratch,
            neighbour_sets=self._neighbour_sets,
            cluster_losses=self._cluster_losses,
        )

    def grow_features(self, features: int) -> None:
        """Allocate this many columns."""
        if features > self.features:
            self.features = features
            self._used = grow(self._used, features)
            self.ensemble.grow(features, self._label_capacity)
            self._assemble()

    def join_labels(self, labels: int) -> None:
        """Add the label slots below ``labels``, after the rows learnt so far."""
        first = self.labels
        if labels <= first:
            return
        self._grow_labels(labels)
        self.labels = labels
        clusters, version = self.partition.cluster_count, self.partition.version
        partition_know(self.partition.state, labels)
        if self.partition.version != version:
            self._restart_detectors()
        elif self.partition.cluster_count != clusters:
            self.detectors.resize(self.partition.cluster_count)
        self.decision.follow(self.partition)
        self._assemble()
        for label in range(first, labels):
            self._begin_label(label)

    def replace_label(self, slot: int) -> None:
        """Reset a slot for a new label."""
        self.ensemble.retire(slot)
        self.mixer.retire(slot)
        self.partition.retire(slot)
        self.decision.retire(slot, self.partition)
        self._positives[slot] = 0
        self._previous[slot] = 0
        self._assemble()
        self._begin_label(slot)

    def _begin_label(self, label: int) -> None:
        absent = max(float(self.ensemble.rates.state.absent[Rate.SLOW]), 1.0 / (self.learned + 2.0))
        begin_label(self._state, label, absent)

    def _step(
        self, operations: Operations, answers: Answers, buffer: EventBuffer, position: int
    ) -> tuple[int, int | np.int64]:
        return step(
            self._state,
            self._scratch,
            operations,
            answers,
            buffer,
            position,
            self.labels,
            self.partition.cluster_count,
            self.scores_top,
            self.minimum_support,
        )

    def correct(self, correction: Correction) -> list[LearnerEvent]:
        """Learn a later truth of a row, as in `learner.correction`; return the events, at operation 0."""
        ensemble = self._scratch.ensemble
        size = correction.recent_columns.size
        ensemble.recent_columns[:size] = correction.recent_columns
        ensemble.recent_values[:size] = correction.recent_values
        ensemble.recent_size[0] = size
        buffer = event_buffer(1)
        correct_row(self._state, self._scratch, correction.arrays(), self.labels, self.minimum_support, buffer)
        events = drain(buffer, self.cluster_of)
        if partition_due(self.partition.state):
            events += self._test_partition(0, False)
        return events

    def change_drift(self, detector: str, significance: float, cooldown_rows: int) -> None:
        """Change the settings of the drift detectors from the next row on; those of another kind start empty."""
        self.detectors.change(detector, significance, cooldown_rows)
        self._assemble()

    def _restructure(self, operation: int, raised: list[LearnerEvent]) -> list[LearnerEvent]:
        retest, retest_time = self.detectors.state.retest, int(partition_retest_time(self.partition.state, False))
        events = []
        if self.detectors.kind == "river":
            buffer = event_buffer(self.detectors.clusters)
            self.detectors.learn_row(self._cluster_losses, operation, self.learned - 1, retest_time, buffer)
            events = drain(buffer, self.cluster_of)
        due = partition_due(self.partition.state)
        if due or (retest[Retest.PENDING] and retest_time == RetestTime.NOW):
            retest[Retest.PENDING] = 0
            events += self._test_partition(operation, not due)
        return events

    def _test_partition(self, operation: int, forced: bool) -> list[LearnerEvent]:
        """Test the partition, before its period ends if ``forced``; if its tree changes, the other parts follow."""
        version = self.partition.version
        tested = self.partition.run_test(forced)
        events = []
        if tested is not None and tested.switched:
            row = self.learned - 1
            events.append(
                LearnerEvent(
                    operation=operation,
                    kind="partition",
                    scope="model",
                    slot=0,
                    size=0,
                    signal="code_length",
                    direction="better",
                    before=tested.code_length,
                    after=tested.code_length - tested.gain,
                    rows=tested.rows,
                    since_row=max(0, row - tested.rows + 1),
                    row=row,
                    action="rebuild",
                )
            )
        if self.partition.version != version:
            self._restart_detectors()
        self.decision.follow(self.partition)
        self._assemble()
        return events

    def probabilities(self, entries: Entries) -> np.ndarray:
        """Return the probability of every label for one instance, float64[labels]; nothing changes."""
        ensemble_history_features(self._state.ensemble, self._scratch.ensemble, self.labels)
        predict_logits(self._state, self._scratch, entries, 0, entries.columns.size, self.labels)
        out = np.zeros(self.labels)
        for label in range(self.labels):
            out[label] = probability(self._scratch.mixed[label])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state as named arrays, without spare capacity."""
        features, labels = self.features, self.labels
        arrays = join_parts(
            {
                LearnerPart.ENSEMBLE: self.ensemble.arrays(features, labels),
                LearnerPart.MIXER: self.mixer.arrays(labels),
                LearnerPart.DECISION: self.decision.arrays(labels, self.partition),
                LearnerPart.PARTITION: self.partition.arrays(),
                LearnerPart.DRIFT: self.detectors.arrays(),
            }
        )
        arrays["sizes"] = np.array([features, labels], np.int64)
        arrays["counters"] = self._counters
        arrays["used"] = self._used[:features]
        arrays["positives"] = self._positives[:labels]
        arrays["previous"] = self._previous[:labels]
        return arrays

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state; raises `SnapshotError` if a part does not fit."""
        parts = split_parts(arrays)
        if LearnerPart.ENSEMBLE not in parts:
            raise SnapshotError(
                "the snapshot is of preset paper, this model has another preset: start it with preset paper"
            )
        features, labels = (int(size) for size in arrays["sizes"])
        self.grow_features(features)
        self._grow_labels(labels)
        self.features, self.labels = features, labels
        self.ensemble.load_arrays(parts[LearnerPart.ENSEMBLE], features, labels)
        self.mixer.load_arrays(parts[LearnerPart.MIXER], labels)
        self.partition.load_arrays(parts[LearnerPart.PARTITION])
        self.partition.grow(self._label_capacity)
        self.decision.load_arrays(parts[LearnerPart.DECISION], labels, self.partition)
        self.detectors.load_arrays(parts.get(LearnerPart.DRIFT, {}), self.partition.cluster_count)
        load_whole(self._counters, arrays["counters"])
        load_labels(self._used, arrays["used"], features)
        load_labels(self._positives, arrays["positives"], labels)
        load_labels(self._previous, arrays["previous"], labels)
        self._assemble()

    @staticmethod
    def bytes_bound(
        features: int, labels: int, experts: Collection[str] = EXPERT_NAMES, partition: Mode = "jaccard"
    ) -> int:
        """Return the largest size in bytes of the state with this many columns and labels."""
        return (
            Ensemble.bytes_bound(experts, features, labels)
            + Mixer.bytes_bound(len(LogitRow), labels)
            + Decision.bytes_bound(labels)
            + Partition.bytes_bound(labels)
            + DriftDetectors.bytes_bound(labels if partition == "singletons" else MAXIMUM_CLUSTERS)
        )
