"""What a micro-batch gave: answers by operation, events, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from streamlearn.model.answers import BatchAnswers
from streamlearn.model.batch_rows import BatchRows
from streamlearn.model.model_event import ModelEvent
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.state.names import Name


class MicroBatchResult:
    """What a batch's operations gave; operations are numbered as the batch numbered them.

    Attributes
    ----------
    events:
        What happened to the model, in order.
    dropped:
        Reasons for which values or labels were left out, and how many were.
    """

    def __init__(
        self,
        answers: BatchAnswers,
        seen: list[int],
        rows: BatchRows,
        events: list[ModelEvent],
        dropped: dict[str, int],
    ) -> None:
        self._answers = answers
        self._seen = seen
        self._rows = rows
        self.events = events
        self.dropped = dropped

    def __len__(self) -> int:
        return len(self._answers)

    def answer(self, op: int) -> tuple[list[Name], dict[Name, float]]:
        """Return the answer's label set, the most probable first, and probabilities, six decimals: those of its labels,
        then those of the best others."""
        ((labels, scores, _, _),) = self.answers([op])
        return labels, scores

    def answers(self, ops: Iterable[int]) -> Iterator[tuple[list[Name], dict[Name, float], int, int]]:
        """Yield `answer`, `seen` and `learned` of each of these operations."""
        answer_of = self._answers.of
        for op in ops:
            answered, row = answer_of(op)
            starts = answered.starts
            first, last = starts[row], starts[row + 1]
            names = answered.names[first:last]
            scores = dict(zip(names, answered.scores[first:last], strict=True))
            yield names[: answered.chosen[row]], scores, self._seen[op], answered.learned[row]

    def labels(self, op: int) -> list[Name]:
        """Return the answer's label set, the most probable first."""
        return self.answer(op)[0]

    def scores(self, op: int) -> dict[Name, float]:
        """Return the probabilities of `answer`."""
        return self.answer(op)[1]

    def outcome(self) -> bytes:
        """Return the number of entries of each answer, their slots int32 and their logits float32, little-endian, in
        the order in which rows were applied."""
        parts: list[bytes] = []
        for answered in self._answers.segments:
            parts.append(np.array(answered.starts, "<i8").tobytes())
            parts.append(answered.slots.astype("<i4", copy=False).tobytes())
            parts.append(answered.logits.astype("<f4", copy=False).tobytes())
        return b"".join(parts)

    def seen(self, op: int) -> int:
        """Return the instances observed before this operation."""
        return self._seen[op]

    def learned(self, op: int) -> int:
        """Return the rows learnt before this operation."""
        answered, row = self._answers.of(op)
        return answered.learned[row]

    def packed(self, op: int) -> bytes:
        """Return the encoded instance with its answer, packed, to wait for a truth that comes later."""
        answered, row = self._answers.of(op)
        slots = answered.label_set(row)
        generations = np.array([answered.generations[slot] for slot in slots.tolist()], np.int64)
        columns, values, rarity_weighted, bins = self._rows.of(op)
        return StoredInstance(
            columns, values, rarity_weighted, bins, *answered.recent(row), slots, generations
        ).packed()
