"""A segment: rows between two structural changes, which the learner applies in one call, and their arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from streamlearn.encoder.labels import ResolvedTruth
from streamlearn.learner.decode.label_set_choice import RULE_CODES
from streamlearn.learner.operations import LEARN, PREDICT, Operations
from streamlearn.model.batch_rows import BatchRows
from streamlearn.model.micro_batch import MicroBatch
from streamlearn.model.prior_answers import PriorAnswers
from streamlearn.settings.rule import Rule


class Segment:
    """The operation, the kind and the truth in slots of each row."""

    def __init__(self) -> None:
        self.ops: list[int] = []
        self.kinds: list[int] = []
        self.truths: list[ResolvedTruth] = []

    def __len__(self) -> int:
        return len(self.ops)

    def add(self, op: int, kind: int, truth: ResolvedTruth) -> None:
        """Append a row."""
        self.ops.append(op)
        self.kinds.append(kind)
        self.truths.append(truth)

    def operations(self, batch: MicroBatch, rows: BatchRows, prior: PriorAnswers) -> Operations:
        """Return the rows as the learner takes them."""
        count = len(self.ops)
        ops = np.array(self.ops, np.int64)
        kinds = np.array(self.kinds, np.uint8)
        truth_starts = np.zeros(count + 1, np.int64)
        truths = self.truths
        np.cumsum([len(truth.slots) for truth in truths], out=truth_starts[1:])
        rule, rule_count, rule_threshold = _rule_codes(batch.rule)
        operations = Operations(
            kinds & np.uint8(PREDICT) if batch.frozen else kinds,
            rows.first[ops],
            rows.last[ops],
            rows.entries,
            truth_starts,
            _concatenate((truth.slots for truth in truths), int(truth_starts[-1]), np.int32),
            _concatenate((truth.signs for truth in truths), int(truth_starts[-1]), np.int8),
            np.array([truth.complete for truth in truths], np.uint8),
            np.full(count, rule, np.int64),
            np.full(count, rule_count, np.int64),
            np.full(count, rule_threshold),
            *self._recent(kinds, prior),
        )
        for row, op in enumerate(self.ops if batch.has_rules else ()):
            own = batch.rules[op]
            if own is not None:
                codes = _rule_codes(own)
                operations.rule[row], operations.rule_count[row], operations.rule_threshold[row] = codes
        return operations

    def _recent(self, kinds: np.ndarray, prior: PriorAnswers) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return what late truths' answers knew of recent label sets, as `Operations` has it; empty for other rows."""
        recent_of = np.full(len(self.ops), -1, np.int64)
        starts = np.zeros(len(self.ops) + 1, np.int64)
        columns: list[np.ndarray] = [np.zeros(0, np.int32)]
        values: list[np.ndarray] = [np.zeros(0, np.float32)]
        for row in np.flatnonzero(kinds == LEARN).tolist():
            op = self.ops[row]
            recent_of[row] = prior.row_to_come(op)
            if recent_of[row] >= 0:
                continue
            own_columns, own_values = prior.recent(op)
            columns.append(own_columns)
            values.append(own_values)
            starts[row + 1] = own_columns.size
        np.cumsum(starts, out=starts)
        return recent_of, starts, np.concatenate(columns), np.concatenate(values)


def _concatenate(parts: Iterable[list[int]], count: int, dtype: type) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(parts), dtype, count)


def _rule_codes(rule: Rule) -> tuple[int, int, float]:
    return RULE_CODES[rule.kind], rule.count, rule.threshold
