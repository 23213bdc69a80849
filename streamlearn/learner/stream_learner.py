"""Interface of a learner: rows in, label sets out, as arrays of numbers; only the encoder knows names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventBuffer, LearnerEvent, drain, event_buffer
from streamlearn.learner.experts.label_history import MAXIMUM_HISTORY_FEATURES
from streamlearn.learner.operations import Answers, Correction, Operations, StopReason
from streamlearn.state.growth import grow

SPARE_EVENTS = 256
"""Capacity of the event buffer beyond the events of one operation."""

_FIRST_ROWS, _FIRST_LABELS = 4096, 16
"""Most rows, and most labels per row, that answers are allocated for at first."""


class StreamLearner(ABC):
    """Owns a state and applies operations; structural work happens between rows, always at the same rows.

    Attributes
    ----------
    scores_top:
        Labels that get a score beside those of the answer.
    minimum_support:
        Positive rows before a label may be predicted.
    labels, features:
        Label slots and columns in use.
    observer:
        Called after `apply` with the operations and the answers, which then have the logits of all labels; or None.
    """

    def __init__(self, scores_top: int, minimum_support: int) -> None:
        self.scores_top = scores_top
        self.minimum_support = minimum_support
        self.labels = 0
        self.features = 0
        self.observer: Callable[[Operations, Answers], None] | None = None

    @property
    @abstractmethod
    def learned(self) -> int:
        """Rows learnt so far."""

    @property
    @abstractmethod
    def cluster_of(self) -> np.ndarray:
        """int32[labels], the cluster of each label."""

    @property
    @abstractmethod
    def cluster_count(self) -> int:
        """Clusters of labels."""

    @abstractmethod
    def grow_features(self, features: int) -> None:
        """Allocate this many columns."""

    @abstractmethod
    def join_labels(self, labels: int) -> None:
        """Add the label slots below ``labels``, after the rows learnt so far."""

    @abstractmethod
    def replace_label(self, slot: int) -> None:
        """Reset a slot for a new label."""

    @abstractmethod
    def correct(self, correction: Correction) -> list[LearnerEvent]:
        """Learn a later truth of a row; return the events, at operation 0."""

    @abstractmethod
    def probabilities(self, entries: Entries) -> np.ndarray:
        """Return the probability of every label for one instance, float64[labels]; nothing changes."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state as named arrays, without spare capacity."""

    @abstractmethod
    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state; raises `SnapshotError` if a part does not fit."""

    @abstractmethod
    def _step(
        self, operations: Operations, answers: Answers, buffer: EventBuffer, position: int
    ) -> tuple[int, int | np.int64]:
        """Apply operations from ``position`` on; return the next operation and a `StopReason`."""

    @abstractmethod
    def _restructure(self, operation: int, raised: list[LearnerEvent]) -> list[LearnerEvent]:
        """Do the structural work due after an operation, which raised these events; return further events."""

    def change_drift(self, detector: str, significance: float, cooldown_rows: int) -> None:  # noqa: B027
        """Change the settings of the drift detectors from the next row on, if the learner uses them."""

    def apply(self, operations: Operations) -> tuple[Answers, list[LearnerEvent]]:
        """Apply operations in order, with structural work between rows where it is due.

        Returns
        -------
        tuple[Answers, list[LearnerEvent]]
            The answers and the events, both in order.
        """
        count = operations.kind.size
        slots_per_row = min(self.labels, _FIRST_LABELS) + self.scores_top
        size = min(count, _FIRST_ROWS) * slots_per_row + self.labels + self.scores_top
        answers = Answers(
            starts=np.zeros(count + 1, np.int64),
            slots=np.zeros(size, np.int32),
            scores=np.zeros(size),
            logits=np.zeros(size, np.float32),
            chosen=np.zeros(count, np.int64),
            learned=np.zeros(count, np.int64),
            recent_starts=np.zeros(count + 1, np.int64),
            recent_columns=np.zeros(MAXIMUM_HISTORY_FEATURES, np.int32),
            recent_values=np.zeros(MAXIMUM_HISTORY_FEATURES, np.float32),
            all_logits=np.zeros((0, 0) if self.observer is None else (count, self.labels), np.float32),
        )
        buffer = event_buffer(SPARE_EVENTS + self.labels + self.cluster_count)
        events: list[LearnerEvent] = []
        position = 0
        reason = StopReason.EVENTS_FULL
        while reason != StopReason.END:
            position, reason = self._step(operations, answers, buffer, position)
            raised = drain(buffer, self.cluster_of)
            events += raised
            if reason == StopReason.OUTPUT_FULL:
                needed = int(answers.starts[position]) + self.labels + self.scores_top
                needed_recent = int(answers.recent_starts[position]) + MAXIMUM_HISTORY_FEATURES
                answers = answers._replace(
                    slots=grow(answers.slots, needed),
                    scores=grow(answers.scores, needed),
                    logits=grow(answers.logits, needed),
                    recent_columns=grow(answers.recent_columns, needed_recent),
                    recent_values=grow(answers.recent_values, needed_recent),
                )
            elif reason == StopReason.STRUCTURE_DUE:
                events += self._restructure(position - 1, raised)
        if self.observer is not None:
            self.observer(operations, answers)
        return answers, events
