"""What every learner gives to those who own one: rows in, label sets out. Arrays only; names belong to the encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import numpy as np

from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventBuffer, LearnerEvent, drain, event_buffer
from streamlearn.learner.experts.label_history import MAXIMUM_HISTORY_FEATURES
from streamlearn.learner.operations import END, EVENTS_FULL, OUTPUT_FULL, STRUCTURE_DUE, Answers, Correction, Operations
from streamlearn.state.growth import grown

EVENT_ROOM = 256


class StreamLearner(ABC):
    """Owns a state and walks operations; structural work happens between rows, always at the same ones.

    Attributes
    ----------
    scores_top:
        Labels beside the answer that get a score.
    minimum_support:
        Positives before a label may be predicted.
    labels, features:
        Label slots and columns in use.
    watcher:
        Is handed every walk's operations and answers, with the logits of all labels; None: nobody asks for these.
    """

    def __init__(self, scores_top: int, minimum_support: int) -> None:
        self.scores_top = scores_top
        self.minimum_support = minimum_support
        self.labels = 0
        self.features = 0
        self.watcher: Callable[[Operations, Answers], None] | None = None

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
        """Make room for this many columns."""

    @abstractmethod
    def join_labels(self, labels: int) -> None:
        """Let the label slots up to ``labels`` (excluded) join after the rows learnt so far."""

    @abstractmethod
    def replace_label(self, slot: int) -> None:
        """Empty a slot and let another label join in it."""

    @abstractmethod
    def correct(self, correction: Correction) -> list[LearnerEvent]:
        """Learn what a second truth for a row adds or corrects; return what comes of it, at operation 0."""

    @abstractmethod
    def probabilities(self, entries: Entries) -> np.ndarray:
        """Return every label's probability for one instance, float64[labels]; nothing changes."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name; spare capacity is not part of it."""

    @abstractmethod
    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state over; raises `SnapshotError` when a part does not fit."""

    @abstractmethod
    def _step(
        self, operations: Operations, answers: Answers, buffer: EventBuffer, position: int
    ) -> tuple[int, int | np.int64]:
        """MicroBatchRunner rows from ``position`` on until something is due; return the next row and the reason."""

    @abstractmethod
    def _restructure(self, operation: int, happened: list[LearnerEvent]) -> list[LearnerEvent]:
        """Do the work that is due after an operation, at which this has happened; return what comes of it."""

    def change_drift(self, detector: str, significance: float, cooldown_rows: int) -> None:  # noqa: B027
        """Let other settings of the drift detectors hold from the next row on; a learner with its own keeps those."""

    def walk(self, operations: Operations) -> tuple[Answers, list[LearnerEvent]]:
        """Apply operations in order; structural work happens between rows where it is due.

        Returns
        -------
        The answers, and what happened, in order.
        """
        count = operations.kind.size
        room = min(count, 4096) * (min(self.labels, 16) + self.scores_top) + self.labels + self.scores_top
        answers = Answers(
            np.zeros(count + 1, np.int64),
            np.zeros(room, np.int32),
            np.zeros(room),
            np.zeros(room, np.float32),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
            np.zeros(count + 1, np.int64),
            np.zeros(MAXIMUM_HISTORY_FEATURES, np.int32),
            np.zeros(MAXIMUM_HISTORY_FEATURES, np.float32),
            np.zeros((0, 0) if self.watcher is None else (count, self.labels), np.float32),
        )
        buffer = event_buffer(EVENT_ROOM + self.labels + self.cluster_count)
        events: list[LearnerEvent] = []
        position = 0
        reason = EVENTS_FULL
        while reason != END:
            position, reason = self._step(operations, answers, buffer, position)
            happened = drain(buffer, self.cluster_of)
            events += happened
            if reason == OUTPUT_FULL:
                needed = int(answers.starts[position]) + self.labels + self.scores_top
                needed_recent = int(answers.recent_starts[position]) + MAXIMUM_HISTORY_FEATURES
                answers = answers._replace(
                    slots=grown(answers.slots, needed),
                    scores=grown(answers.scores, needed),
                    logits=grown(answers.logits, needed),
                    recent_columns=grown(answers.recent_columns, needed_recent),
                    recent_values=grown(answers.recent_values, needed_recent),
                )
            elif reason == STRUCTURE_DUE:
                events += self._restructure(position - 1, happened)
        if self.watcher is not None:
            self.watcher(operations, answers)
        return answers, events
