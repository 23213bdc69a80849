"""What one asks of a model, in order, and what it gives: operations, answers, events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.encoder.labels import Truth
from streamlearn.encoder.row import Features
from streamlearn.learner.step import LEARN, PREDICT
from streamlearn.settings.rules import Rule


class ModelEvent(NamedTuple):
    """Something that happened to the model at an operation.

    ``op`` is the operation's number in its plan, ``row`` the zero-based learnt row; ``name`` names the cluster by the
    label of its lowest slot, or is empty for the whole model; ``before`` and ``after`` are means of the signal (nats a
    row for code length).
    """

    op: int
    row: int
    kind: str
    scope: str
    name: str
    signal: str
    direction: str
    before: float
    after: float
    n: int
    since_row: int
    action: str


class StoredInstance(NamedTuple):
    """An encoded instance with the answer it got, kept until its truth arrives.

    ``columns`` int32 and ``values`` float32 are the entries as scaled when it was predicted; ``slots`` int32 and
    ``generations`` int64 the labels that were answered.
    """

    columns: np.ndarray
    values: np.ndarray
    slots: np.ndarray
    generations: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays hold."""
        return self.columns.nbytes + self.values.nbytes + self.slots.nbytes + self.generations.nbytes

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return self._asdict()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> StoredInstance:
        """Make an instance from what `arrays` returned."""
        return cls(*(np.array(arrays[name]) for name in cls._fields))


class Operation(NamedTuple):
    """What a plan asks for: ``instance`` is an index into the plan's instances, or -1 - index into the stored ones."""

    kind: int
    instance: int
    truth: Truth | None
    rule: Rule


class Answer(NamedTuple):
    """One operation's slice of a walk's answers, with the names and generations that its slots had."""

    names: list[str]
    generations: list[int]
    slots: np.ndarray
    scores: np.ndarray
    logits: np.ndarray
    chosen: int
    learned: int


class Rows(NamedTuple):
    """Each operation's entries: ``columns`` int32 and ``values`` float32 from ``first`` to ``last``
    int64[operations]."""

    columns: np.ndarray
    values: np.ndarray
    first: np.ndarray
    last: np.ndarray


class PlanResult:
    """What a plan's operations gave; operations are numbered as the plan numbered them."""

    def __init__(
        self,
        answers: list[Answer],
        seen: list[int],
        rows: Rows,
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

    def labels(self, op: int) -> list[str]:
        """Return the answer's label set, the most probable first."""
        answer = self._answers[op]
        return [answer.names[slot] for slot in answer.slots[: answer.chosen].tolist()]

    def scores(self, op: int) -> dict[str, float]:
        """Return probabilities, six decimals: the answer's labels first, then the best others."""
        answer = self._answers[op]
        names = answer.names
        return {names[slot]: score for slot, score in zip(answer.slots.tolist(), answer.scores.tolist(), strict=True)}

    def label_slots(self, op: int) -> np.ndarray:
        """Return int32 slots in the order of `scores`."""
        return self._answers[op].slots

    def label_logits(self, op: int) -> np.ndarray:
        """Return float32 logits, which the scores are rounded from, in the order of `scores`."""
        return self._answers[op].logits

    def label_scores(self, op: int) -> np.ndarray:
        """Return float64 probabilities in the order of `scores`."""
        return self._answers[op].scores

    def seen(self, op: int) -> int:
        """Return the instances observed before this operation."""
        return self._seen[op]

    def learned(self, op: int) -> int:
        """Return the rows learnt before this operation."""
        return self._answers[op].learned

    def stored(self, op: int) -> StoredInstance:
        """Return the encoded instance with its answer, to wait for a truth that comes later."""
        answer = self._answers[op]
        slots = answer.slots[: answer.chosen].copy()
        generations = np.array([answer.generations[slot] for slot in slots.tolist()], np.int64)
        rows = self._rows
        entries = slice(int(rows.first[op]), int(rows.last[op]))
        return StoredInstance(rows.columns[entries].copy(), rows.values[entries].copy(), slots, generations)


class Plan:
    """Operations to apply in order; nothing happens before `run`, which may be called once."""

    def __init__(self, run: Callable[[Plan], PlanResult], rule: Rule, frozen: bool) -> None:
        self._run = run
        self._rule = rule
        self.frozen = frozen
        self.instances: list[Features] = []
        self.late: list[StoredInstance] = []
        self.operations: list[Operation] = []

    def __len__(self) -> int:
        return len(self.operations)

    def predict(self, x: Features, rule: Rule | None = None) -> int:
        """Answer an instance and observe it; return the operation's number."""
        return self._add(PREDICT, x, None, rule)

    def predict_and_learn(self, x: Features, truth: Truth, rule: Rule | None = None) -> int:
        """Answer an instance, observe it and learn its truth; return the operation's number.

        ``truth`` is a list or set of names (complete) or a mapping of names to booleans (partial; others are unknown).
        """
        return self._add(PREDICT | LEARN, x, truth, rule)

    def _add(self, kind: int, x: Features, truth: Truth | None, rule: Rule | None) -> int:
        self.operations.append(Operation(kind, len(self.instances), truth, rule or self._rule))
        self.instances.append(x)
        return len(self.operations) - 1

    def learn(self, instance: StoredInstance | int, truth: Truth) -> int:
        """Learn a truth that came after its answer; return the operation's number.

        ``instance`` is what `PlanResult.stored` gave, or the number of a `predict` of this plan.
        """
        if isinstance(instance, int):
            place = self.operations[instance].instance
        else:
            self.late.append(instance)
            place = -len(self.late)
        self.operations.append(Operation(LEARN, place, truth, self._rule))
        return len(self.operations) - 1

    def run(self) -> PlanResult:
        """Apply the operations and return what they gave."""
        return self._run(self)
