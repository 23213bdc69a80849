"""The learner: all owners together, rows in, label sets out. Arrays only; names belong to the encoder."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.correction import correct_row
from streamlearn.learner.decode.decision import Decision
from streamlearn.learner.decode.joint import BOTH
from streamlearn.learner.decode.learned_pool import learned_pool_begin_label
from streamlearn.learner.decode.pooled_sets import CAPACITY
from streamlearn.learner.drift.detectors import WAITS, DriftDetectors, cluster_loss_scratch
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventBuffer, LearnerEvent, drain, event_buffer
from streamlearn.learner.experts.ensemble import Ensemble, ensemble_begin_label, ensemble_history_features
from streamlearn.learner.experts.logit_rows import EXPERT_NAMES, LogitRow
from streamlearn.learner.experts.neighbour_search import NEIGHBOURS
from streamlearn.learner.experts.neighbour_window import MAXIMUM_KNOWN
from streamlearn.learner.experts.rates import Rate
from streamlearn.learner.mixture.logistic_mixing import Mixer, mixer_begin_label
from streamlearn.learner.operations import Answers, Correction, Operations, members_of
from streamlearn.learner.partition.clusters import NOW, Partition, partition_know, partition_testable
from streamlearn.learner.partition.clusters import due as partition_due
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.learner.scores import probability
from streamlearn.learner.step import LEARNT, LearnerState, NeighbourSets, Scratch, predict_logits, step
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.array_names import LearnerPart, join_parts
from streamlearn.state.growth import capacity, grown
from streamlearn.state.lazy_arrays import parts_of

CLUSTERS_AT_MOST = 64


@kernel
def begin_label(state: LearnerState, label: int, absent: float) -> None:
    """Give a label that joins after rows were learnt, all without it, its start in every part that keeps one for it.

    ``absent`` is the probability that a row has it.
    """
    bias = log64(absent) - log64(1.0 - absent)
    ensemble_begin_label(state.ensemble, label, bias)
    mixer_begin_label(state.mixer, label)
    learned_pool_begin_label(state.decision.pool, label)


class EnsembleLearner(StreamLearner):
    """Owns the state and walks operations.

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
    experts:
        The experts on the ensemble, of `experts.logit_rows.EXPERT_NAMES`.
    partition:
        Where the clusters of labels come from, as `partition.clusters` says.
    seed:
        Of random clusters, at least 0.
    parts:
        What the posterior over label sets is made of, as `decode.joint` has it.
    pooled_sets:
        Label sets that the pool takes, at most `decode.pooled_sets.CAPACITY`.
    watch:
        The detectors of drift, empty; by default with the settings' defaults.
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
        parts: int = BOTH,
        pooled_sets: int = CAPACITY,
        watch: DriftDetectors | None = None,
    ) -> None:
        super().__init__(scores_top, minimum_support)
        self.ensemble = Ensemble(experts)
        self.mixer = Mixer(self.ensemble.initial_weights)
        self.decision = Decision(parts, pooled_sets)
        self.partition = Partition(maximum=maximum_labels, mode=partition, seed=seed)
        self.watch = watch or DriftDetectors()
        self._counters = np.zeros(4, np.int64)
        self._used = np.zeros(0, np.uint8)
        self._positives = np.zeros(0, np.int64)
        self._previous = np.zeros(0, np.int8)
        self._label_room = 0
        self._make_label_room(labels)
        self.labels = labels
        partition_know(self.partition.state, labels)
        self.decision.follow(self.partition)
        self._match_monitors()
        self._assemble()

    @property
    def learned(self) -> int:
        """Rows learnt so far."""
        return int(self._counters[LEARNT])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[labels], the top-level cluster of each label."""
        return self.partition.cluster_of

    @property
    def cluster_count(self) -> int:
        """Top-level clusters of labels."""
        return self.partition.cluster_count

    def _make_label_room(self, labels: int) -> None:
        room = capacity(max(labels, 1), self._label_room)
        if room == self._label_room:
            return
        self._label_room = room
        clusters = max(room, CLUSTERS_AT_MOST)
        self._cluster_losses = cluster_loss_scratch(clusters)
        self.ensemble.grow(self.features, room)
        self.mixer.grow(room)
        self.decision.grow(room)
        self.partition.grow(room)
        self._positives = grown(self._positives, room)
        self._previous = grown(self._previous, room)
        self._room = (
            np.zeros(room, np.float32),
            np.zeros(room, np.int8),
            np.zeros(room, np.int32),
            np.zeros(room, np.uint8),
            np.zeros(room, np.uint8),
            np.zeros(room, np.int32),
        )
        self._neighbour_sets = NeighbourSets(
            np.zeros(NEIGHBOURS, np.int64),
            np.zeros(NEIGHBOURS),
            np.zeros(NEIGHBOURS + 1, np.int64),
            np.zeros(min(NEIGHBOURS * room, MAXIMUM_KNOWN) if "neighbours" in self.ensemble.names else 0, np.int32),
        )

    def _match_monitors(self) -> None:
        """Give every top-level cluster a detector of its own, all empty."""
        self.watch.restart(self.partition.cluster_count)

    def _assemble(self) -> None:
        self._state = LearnerState(
            self.ensemble.state,
            self.mixer.state,
            self.decision.state,
            self.partition.state,
            self.watch.state,
            self._counters,
            self._positives,
            self._previous,
            self._used,
        )
        self._scratch = Scratch(
            *self._room,
            self.ensemble.scratch,
            self.mixer.scratch,
            self.decision.scratch,
            self._neighbour_sets,
            self._cluster_losses,
        )

    def grow_features(self, features: int) -> None:
        """Make room for this many columns."""
        if features > self.features:
            self.features = features
            self._used = grown(self._used, features)
            self.ensemble.grow(features, self._label_room)
            self._assemble()

    def join_labels(self, labels: int) -> None:
        """Let the label slots up to ``labels`` (excluded) join after the rows learnt so far."""
        first = self.labels
        if labels <= first:
            return
        self._make_label_room(labels)
        self.labels = labels
        clusters, version = self.partition.cluster_count, self.partition.version
        partition_know(self.partition.state, labels)
        if self.partition.version != version:
            self._match_monitors()
        elif self.partition.cluster_count != clusters:
            self.watch.resize(self.partition.cluster_count)
        self.decision.follow(self.partition)
        self._assemble()
        for label in range(first, labels):
            self._begin(label)

    def replace_label(self, slot: int) -> None:
        """Empty a slot and let another label join in it."""
        self.ensemble.retire(slot)
        self.mixer.retire(slot)
        self.partition.retire(slot)
        self.decision.retire(slot, self.partition)
        self._positives[slot] = 0
        self._previous[slot] = 0
        self._assemble()
        self._begin(slot)

    def _begin(self, label: int) -> None:
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
        """Learn what a second truth for a row adds or corrects, as `learner.correction` says."""
        ensemble = self._scratch.ensemble
        size = correction.recent_columns.size
        ensemble.recent_columns[:size] = correction.recent_columns
        ensemble.recent_values[:size] = correction.recent_values
        ensemble.recent_size[0] = size
        added = correction.added
        buffer = event_buffer(1)
        correct_row(
            self._state,
            self._scratch,
            correction.entries,
            correction.changed,
            added,
            members_of(added),
            correction.after,
            members_of(correction.after),
            correction.complete,
            correction.completes,
            self.labels,
            self.minimum_support,
            correction.row,
            buffer,
        )
        events = drain(buffer, self.cluster_of)
        if partition_due(self.partition.state):
            events += self._test_partition(0, False)
        return events

    def change_drift(self, detector: str, significance: float, cooldown_rows: int) -> None:
        """Let other settings of the detectors hold from the next row on; detectors of another kind start empty."""
        self.watch.change(detector, significance, cooldown_rows)
        self._assemble()

    def _restructure(self, operation: int, happened: list[LearnerEvent]) -> list[LearnerEvent]:
        state, testable = self.watch.state, partition_testable(self.partition.state, False)
        alarms = []
        if self.watch.detector == "river":
            buffer = event_buffer(self.watch.clusters)
            self.watch.learn_row(self._cluster_losses, operation, self.learned - 1, testable, buffer)
            alarms = drain(buffer, self.cluster_of)
        due = partition_due(self.partition.state)
        if due or (state.retest[WAITS] and testable == NOW):
            state.retest[WAITS] = 0
            alarms += self._test_partition(operation, not due)
        return alarms

    def _test_partition(self, operation: int, forced: bool) -> list[LearnerEvent]:
        """Test the partition, before its period ends if ``forced``, and follow what comes of it."""
        version = self.partition.version
        tested = self.partition.run_test(forced)
        events = []
        if tested is not None and tested.switched:
            row = self.learned - 1
            events.append(
                LearnerEvent(
                    operation,
                    "partition",
                    "model",
                    0,
                    0,
                    "code_length",
                    "better",
                    tested.code_length,
                    tested.code_length - tested.gain,
                    tested.rows,
                    max(0, row - tested.rows + 1),
                    row,
                    "rebuild",
                )
            )
        if self.partition.version != version:
            self._match_monitors()
        self.decision.follow(self.partition)
        self._assemble()
        return events

    def probabilities(self, entries: Entries) -> np.ndarray:
        """Return every label's probability for one instance, float64[labels]; nothing changes."""
        ensemble_history_features(self._state.ensemble, self._scratch.ensemble, self.labels)
        predict_logits(self._state, self._scratch, entries, 0, entries.columns.size, self.labels)
        out = np.zeros(self.labels)
        for label in range(self.labels):
            out[label] = probability(self._scratch.mixed[label])
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name; spare capacity is not part of it."""
        features, labels = self.features, self.labels
        arrays = join_parts(
            {
                LearnerPart.ENSEMBLE: self.ensemble.arrays(features, labels),
                LearnerPart.MIXER: self.mixer.arrays(labels),
                LearnerPart.DECISION: self.decision.arrays(labels, self.partition),
                LearnerPart.PARTITION: self.partition.arrays(),
                LearnerPart.DRIFT: self.watch.arrays(),
            }
        )
        arrays["sizes"] = np.array([features, labels], np.int64)
        arrays["counters"] = self._counters
        arrays["used"] = self._used[:features]
        arrays["positives"] = self._positives[:labels]
        arrays["previous"] = self._previous[:labels]
        return arrays

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state over; raises `SnapshotError` when a part does not fit."""
        parts = parts_of(arrays)
        if LearnerPart.ENSEMBLE not in parts:
            raise SnapshotError(
                "the snapshot is of preset paper, this model has another one: start it with that preset"
            )
        features, labels = (int(size) for size in arrays["sizes"])
        self.grow_features(features)
        self._make_label_room(labels)
        self.features, self.labels = features, labels
        self.ensemble.load_arrays(parts[LearnerPart.ENSEMBLE], features, labels)
        self.mixer.load_arrays(parts[LearnerPart.MIXER], labels)
        self.partition.load_arrays(parts[LearnerPart.PARTITION])
        self.partition.grow(self._label_room)
        self.decision.load_arrays(parts[LearnerPart.DECISION], labels, self.partition)
        self.watch.load_arrays(parts.get(LearnerPart.DRIFT, {}), self.partition.cluster_count)
        load_whole(self._counters, arrays["counters"])
        load_labels(self._used, arrays["used"], features)
        load_labels(self._positives, arrays["positives"], labels)
        load_labels(self._previous, arrays["previous"], labels)
        self._assemble()

    @staticmethod
    def bytes_bound(
        features: int, labels: int, experts: Collection[str] = EXPERT_NAMES, partition: Mode = "jaccard"
    ) -> int:
        """Return the largest size of the state in bytes with that many columns and labels."""
        return (
            Ensemble.bytes_bound(experts, features, labels)
            + Mixer.bytes_bound(len(LogitRow), labels)
            + Decision.bytes_bound(labels)
            + Partition.bytes_bound(labels)
            + DriftDetectors.bytes_bound(labels if partition == "singletons" else CLUSTERS_AT_MOST)
        )
