"""What was answered for the instance of a truth: by this micro-batch, or when a stored instance was predicted."""

from __future__ import annotations

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.learner.operations import PREDICT
from streamlearn.model.answers import BatchAnswers
from streamlearn.model.micro_batch import MicroBatch


class PriorAnswers:
    """Finds the answer that belongs to an operation's instance."""

    def __init__(self, batch: MicroBatch, answers: BatchAnswers, labels: LabelTable) -> None:
        self._batch = batch
        self._answers = answers
        self._labels = labels
        self._predicted_by: dict[int, int] = {}
        if batch.second:
            # A second truth may be for an instance that was answered and learnt by one operation.
            operations = enumerate(zip(batch.kinds, batch.instance_index, strict=True))
            self._predicted_by = {instance: op for op, (kind, instance) in operations if kind & PREDICT}

    def note_prediction(self, op: int) -> None:
        """Note that an operation answers its instance and learns nothing."""
        self._predicted_by[self._batch.instance_index[op]] = op

    def row_to_come(self, op: int) -> int:
        """Return the row of the segment to come that answers the operation's instance; -1 for none."""
        predicted_by = self._predicted_by.get(self._batch.instance_index[op], -1)
        return (
            self._answers.row_of(predicted_by) if predicted_by >= 0 and self._answers.is_expected(predicted_by) else -1
        )

    def recent(self, op: int) -> tuple[np.ndarray, np.ndarray]:
        """Return int32 columns and float32 values of what the answer knew of recent label sets."""
        stored = self._batch.stored_index[op]
        if stored >= 0:
            instance = self._batch.stored[stored]
            return instance.recent_columns, instance.recent_values
        answered, row = self._answers.of(self._answering(op))
        return answered.recent(row)

    def label_set(self, op: int) -> np.ndarray:
        """Return the slots of the answer that still belong to the same labels."""
        stored = self._batch.stored_index[op]
        current = self._labels.generations
        if stored >= 0:
            instance = self._batch.stored[stored]
            slots, then = instance.slots, instance.generations.tolist()
        else:
            answered, row = self._answers.of(self._answering(op))
            slots = answered.label_set(row)
            if answered.generations is current:
                return slots
            then = [answered.generations[slot] for slot in slots.tolist()]
        now = [current[slot] for slot in slots.tolist()]
        return slots[np.array(then, np.int64) == np.array(now, np.int64)]

    def _answering(self, op: int) -> int:
        return self._predicted_by.get(self._batch.instance_index[op], op)
