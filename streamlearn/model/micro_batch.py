"""What one asks of a model, in order, and what it gives: operations, answers, events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from streamlearn.encoder.labels import Truth
from streamlearn.encoder.row import Features, Packed
from streamlearn.learner.entries import Entries
from streamlearn.learner.operations import OperationKind
from streamlearn.settings.rule import Rule


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

    ``columns`` int32, ``values``, ``rarity_weighted`` float32 and ``bins`` uint8 are its entries as scaled when it was
    predicted; ``recent_columns`` int32 and ``recent_values`` float32 what was known of recent label sets then;
    ``slots`` int32 and ``generations`` int64 the labels that were answered.
    """

    columns: np.ndarray
    values: np.ndarray
    rarity_weighted: np.ndarray
    bins: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray
    slots: np.ndarray
    generations: np.ndarray

    def packed(self) -> bytes:
        """Return it as bytes, little-endian: the entries, recent entries and slots as int32, 0, and then the arrays,
        those of the widest numbers first."""
        sizes = np.array([self.columns.size, self.recent_columns.size, self.slots.size, 0], "<i4")
        return b"".join(
            [sizes.tobytes(), *(getattr(self, name).astype(dtype, copy=False).tobytes() for name, dtype, _ in _PACKED)]
        )

    @classmethod
    def unpacked(cls, data: bytes) -> StoredInstance:
        """Return what `packed` has packed; raises `ValueError` when it is something else."""
        sizes = np.frombuffer(data, "<i4", 3).tolist()
        place = 16
        arrays = {}
        for name, dtype, size in _PACKED:
            arrays[name] = np.frombuffer(data, dtype, sizes[size], place)
            place += arrays[name].nbytes
        if place != len(data):
            raise ValueError(f"a stored instance of {len(data)} bytes, not {place}")
        return cls(**arrays)


_PACKED = (
    ("generations", "<i8", 2),
    ("columns", "<i4", 0),
    ("values", "<f4", 0),
    ("rarity_weighted", "<f4", 0),
    ("recent_columns", "<i4", 1),
    ("recent_values", "<f4", 1),
    ("slots", "<i4", 2),
    ("bins", "u1", 0),
)
"""The arrays in the order in which they are packed, and which size each has."""


class SecondTruth(NamedTuple):
    """What was known of a row before a truth; the learnt row, or the number of this plan's operation that learns it."""

    before: Truth
    row: int
    learned_by: int


class Answered(NamedTuple):
    """The answers of a stretch of rows, with the ``generations`` that slots had then.

    Row i has the entries ``starts[i]`` to ``starts[i + 1]`` of ``names``, ``scores`` and of the arrays ``slots`` int32
    and ``logits`` float32; the first ``chosen[i]`` are its label set. ``learned`` counts the rows learnt before it.
    ``recent_starts``, ``recent_columns`` and ``recent_values`` are as in `learner.operations.Answers`.
    """

    names: list[str]
    generations: list[int]
    starts: list[int]
    scores: list[float]
    chosen: list[int]
    learned: list[int]
    slots: np.ndarray
    logits: np.ndarray
    recent_starts: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray


class Rows(NamedTuple):
    """Each operation's entries, from ``first`` to ``last`` int64[operations]."""

    entries: Entries
    first: np.ndarray
    last: np.ndarray


class MicroBatchResult:
    """What a plan's operations gave; operations are numbered as the plan numbered them.

    ``stretch`` and ``place`` say where each operation's answer is: in which of ``answered``, and which row of it.
    """

    def __init__(
        self,
        answered: list[Answered],
        stretch: list[int],
        place: list[int],
        seen: list[int],
        rows: Rows,
        events: list[ModelEvent],
        dropped: dict[str, int],
    ) -> None:
        self._answered = answered
        self._stretch = stretch
        self._place = place
        self._seen = seen
        self._rows = rows
        self.events = events
        self.dropped = dropped

    def __len__(self) -> int:
        return len(self._place)

    def answer(self, op: int) -> tuple[list[str], dict[str, float]]:
        """Return the answer's label set, the most probable first, and probabilities, six decimals: those of its labels,
        then those of the best others."""
        ((labels, scores, _, _),) = self.answers([op])
        return labels, scores

    def answers(self, ops: Iterable[int]) -> Iterator[tuple[list[str], dict[str, float], int, int]]:
        """Yield `answer`, `seen` and `learned` of each of these operations."""
        for op in ops:
            answered, place = self._answered[self._stretch[op]], self._place[op]
            starts = answered.starts
            first, last = starts[place], starts[place + 1]
            names = answered.names[first:last]
            scores = dict(zip(names, answered.scores[first:last], strict=True))
            yield names[: answered.chosen[place]], scores, self._seen[op], answered.learned[place]

    def labels(self, op: int) -> list[str]:
        """Return the answer's label set, the most probable first."""
        return self.answer(op)[0]

    def scores(self, op: int) -> dict[str, float]:
        """Return the probabilities of `answer`."""
        return self.answer(op)[1]

    def outcome(self) -> bytes:
        """Return how many entries each answer has, their slots int32 and their logits float32, little-endian, in the
        order in which rows were applied."""
        parts: list[bytes] = []
        for answered in self._answered:
            parts.append(np.array(answered.starts, "<i8").tobytes())
            parts.append(answered.slots.astype("<i4", copy=False).tobytes())
            parts.append(answered.logits.astype("<f4", copy=False).tobytes())
        return b"".join(parts)

    def label_slots(self, op: int) -> np.ndarray:
        """Return int32 slots in the order of `scores`."""
        answered, place = self._answered[self._stretch[op]], self._place[op]
        return answered.slots[answered.starts[place] : answered.starts[place + 1]]

    def label_logits(self, op: int) -> np.ndarray:
        """Return float32 logits, which the scores are rounded from, in the order of `scores`."""
        answered, place = self._answered[self._stretch[op]], self._place[op]
        return answered.logits[answered.starts[place] : answered.starts[place + 1]]

    def label_scores(self, op: int) -> np.ndarray:
        """Return float64 probabilities in the order of `scores`."""
        answered, place = self._answered[self._stretch[op]], self._place[op]
        return np.array(answered.scores[answered.starts[place] : answered.starts[place + 1]])

    def seen(self, op: int) -> int:
        """Return the instances observed before this operation."""
        return self._seen[op]

    def learned(self, op: int) -> int:
        """Return the rows learnt before this operation."""
        return self._answered[self._stretch[op]].learned[self._place[op]]

    def packed(self, op: int) -> bytes:
        """Return the encoded instance with its answer, packed, to wait for a truth that comes later."""
        answered, place = self._answered[self._stretch[op]], self._place[op]
        start = answered.starts[place]
        slots = answered.slots[start : start + answered.chosen[place]]
        generations = np.array([answered.generations[slot] for slot in slots.tolist()], np.int64)
        entries = slice(int(self._rows.first[op]), int(self._rows.last[op]))
        recent = slice(int(answered.recent_starts[place]), int(answered.recent_starts[place + 1]))
        columns, values, rarity_weighted, bins = (view[entries] for view in self._rows.entries)
        return StoredInstance(
            columns,
            values,
            rarity_weighted,
            bins,
            answered.recent_columns[recent],
            answered.recent_values[recent],
            slots,
            generations,
        ).packed()


class MicroBatch:
    """Operations in the order in which `StreamModel.apply` applies them.

    An operation has a ``kind``, the ``instance`` that it is about (an index into ``instances``, or -1 - index into
    ``late``), a truth or None, and a rule or None for the batch's own.
    """

    def __init__(self, rule: Rule, frozen: bool) -> None:
        self.rule = rule
        self.frozen = frozen
        self.instances: list[Features | Packed] = []
        self.late: list[StoredInstance] = []
        self.kinds: list[int] = []
        self.places: list[int] = []
        self.truths: list[Truth | None] = []
        self.rules: list[Rule | None] = []
        self.has_rules = False
        self.second: dict[int, SecondTruth] = {}

    def __len__(self) -> int:
        return len(self.kinds)

    def predict(self, x: Features | Packed, rule: Rule | None = None) -> int:
        """Answer an instance and observe it; return the operation's number."""
        return self._add(OperationKind.PREDICT, x, None, rule)

    def predict_and_learn(self, x: Features | Packed, truth: Truth, rule: Rule | None = None) -> int:
        """Answer an instance, observe it and learn its truth; return the operation's number.

        ``truth`` is a list or set of names (complete) or a mapping of names to booleans (partial; others are unknown).
        """
        return self._add(OperationKind.PREDICT | OperationKind.LEARN, x, truth, rule)

    def _add(self, kind: int, x: Features | Packed, truth: Truth | None, rule: Rule | None) -> int:
        number = len(self.kinds)
        self.has_rules = self.has_rules or rule is not None
        self.kinds.append(kind)
        self.places.append(len(self.instances))
        self.truths.append(truth)
        self.rules.append(rule)
        self.instances.append(x)
        return number

    def learn(self, instance: StoredInstance | int, truth: Truth) -> int:
        """Learn a truth that came after its answer; return the operation's number.

        ``instance`` is what `MicroBatchResult.stored` gave, or the number of a `predict` of this plan.
        """
        return self._learn(OperationKind.LEARN, instance, truth)

    def correct(
        self, instance: StoredInstance | int, before: Truth, after: Truth, *, row: int = -1, learned_by: int = -1
    ) -> int:
        """Learn what is known otherwise, or in addition, of an instance that was learnt; return the operation's number.

        ``before`` and ``after`` are all that is known of it; ``row`` is the learnt row that it is,
        `MicroBatchResult.learned` of the operation that learnt it, or ``learned_by`` that operation, if it is of this
        batch. A list ``before`` needs a list ``after``: who knows all labels goes on knowing them.
        """
        number = self._learn(OperationKind.CORRECT, instance, after)
        self.second[number] = SecondTruth(before, row, learned_by)
        return number

    def _learn(self, kind: int, instance: StoredInstance | int, truth: Truth) -> int:
        if isinstance(instance, int):
            place = self.places[instance]
        else:
            self.late.append(instance)
            place = -len(self.late)
        self.kinds.append(kind)
        self.places.append(place)
        self.truths.append(truth)
        self.rules.append(None)
        return len(self.kinds) - 1
