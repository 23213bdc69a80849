"""A micro-batch: operations on instances, in the order in which a model applies them."""

from __future__ import annotations

from typing import NamedTuple

from streamlearn.encoder.labels import Truth
from streamlearn.encoder.row import Features, Packed
from streamlearn.learner.operations import CORRECT, LEARN, PREDICT
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.settings.rule import Rule


class SecondTruth(NamedTuple):
    """What was known of a row before a truth; the learnt row, or the number of this batch's operation that learns
    it."""

    before: Truth
    row: int
    learned_by: int


class MicroBatch:
    """Operations in the order in which `StreamModel.apply` applies them.

    An operation has a kind, a truth or None, a rule or None for the batch's own, and the instance that it is about:
    ``instance_index`` counts in ``instances``, ``stored_index`` in ``stored``, and the other of the two is -1.
    """

    def __init__(self, rule: Rule, frozen: bool) -> None:
        self.rule = rule
        self.frozen = frozen
        self.instances: list[Features | Packed] = []
        self.stored: list[StoredInstance] = []
        self.kinds: list[int] = []
        self.instance_index: list[int] = []
        self.stored_index: list[int] = []
        self.truths: list[Truth | None] = []
        self.rules: list[Rule | None] = []
        self.has_rules = False
        self.second: dict[int, SecondTruth] = {}

    def __len__(self) -> int:
        return len(self.kinds)

    def predict(self, x: Features | Packed, rule: Rule | None = None) -> int:
        """Answer an instance and observe it; return the operation's number."""
        return self._add_instance(PREDICT, x, None, rule)

    def predict_and_learn(self, x: Features | Packed, truth: Truth, rule: Rule | None = None) -> int:
        """Answer an instance, observe it and learn its truth; return the operation's number.

        ``truth`` is a list or set of names (complete) or a mapping of names to booleans (partial; others are unknown).
        """
        return self._add_instance(PREDICT | LEARN, x, truth, rule)

    def learn(self, instance: StoredInstance | int, truth: Truth) -> int:
        """Learn a truth that came after its answer; return the operation's number.

        ``instance`` is what `MicroBatchResult.packed` packed, or the number of a `predict` of this batch.
        """
        return self._add_late(LEARN, instance, truth)

    def correct(
        self, instance: StoredInstance | int, before: Truth, after: Truth, *, row: int = -1, learned_by: int = -1
    ) -> int:
        """Learn what a later truth corrects or adds about an instance that was learnt; return the operation's number.

        ``before`` and ``after`` are all that is known of it; ``row`` is the learnt row that it is,
        `MicroBatchResult.learned` of the operation that learnt it, or ``learned_by`` that operation, if it is of this
        batch. A list ``before`` needs a list ``after``: a truth that is complete stays complete.
        """
        number = self._add_late(CORRECT, instance, after)
        self.second[number] = SecondTruth(before, row, learned_by)
        return number

    def _add_instance(self, kind: int, x: Features | Packed, truth: Truth | None, rule: Rule | None) -> int:
        number = self._add(kind, len(self.instances), -1, truth, rule)
        self.instances.append(x)
        return number

    def _add_late(self, kind: int, instance: StoredInstance | int, truth: Truth) -> int:
        if isinstance(instance, int):
            return self._add(kind, self.instance_index[instance], self.stored_index[instance], truth, None)
        self.stored.append(instance)
        return self._add(kind, -1, len(self.stored) - 1, truth, None)

    def _add(self, kind: int, instance: int, stored: int, truth: Truth | None, rule: Rule | None) -> int:
        self.kinds.append(kind)
        self.instance_index.append(instance)
        self.stored_index.append(stored)
        self.truths.append(truth)
        self.rules.append(rule)
        self.has_rules = self.has_rules or rule is not None
        return len(self.kinds) - 1
