"""Vowpal Wabbit's multi-label reductions: one against all, and a probabilistic label tree.

Source: Jasinska-Kobus et al., *Online probabilistic label trees* (AISTATS 2021), for the tree; the manual of
`vowpalwabbit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.base import BaselineSetup
from streamlearn.evaluation.baselines.numeric_features import numeric_features
from streamlearn.streams.base import Features, Truth

REDUCTIONS = {"oaa": "--multilabel_oaa", "plt": "--plt"}
UNDECLARED_CAPACITY = 256
"""Capacity for labels where none is declared: Vowpal Wabbit fixes their number at the start."""
MIN_BITS, MAX_BITS = 18, 24
"""Bounds of the size of the weight table, as a power of two."""


class VowpalWabbit:
    """A Vowpal Wabbit learner with logistic loss; a label is predicted above one half.

    The number of labels is fixed before the first row: the declared ones, else `UNDECLARED_CAPACITY`. A label beyond it
    is neither learnt nor predicted, and a row with a partial truth is not learnt. Vowpal Wabbit treats a row without
    labels as one without truth; so an empty truth is taught as an extra label after the last, which is never predicted.

    Parameters
    ----------
    reduction:
        ``oaa`` or ``plt``.
    setup:
        What the stream declares.

    Raises
    ------
    UsageError
        When Vowpal Wabbit is not installed.
    """

    def __init__(self, reduction: str, setup: BaselineSetup) -> None:
        try:
            from vowpalwabbit import Workspace
        except ImportError:
            raise UsageError(
                f"--learner vw:{reduction}: Vowpal Wabbit is not installed; install it with "
                "pip install 'streamlearn[vw]'"
            ) from None
        self._names = setup.features
        self._labels = list(setup.labels)
        self._slots = {label: slot for slot, label in enumerate(self._labels)}
        self._capacity = len(self._labels) or UNDECLARED_CAPACITY
        self._columns: dict[str, int] = {}
        self._refused: set[str] = set()
        self._partial = 0
        weights = max(setup.columns, 1) * (self._capacity + 1)
        bits = min(max(weights.bit_length(), MIN_BITS), MAX_BITS)
        self._workspace = Workspace(
            f"{REDUCTIONS[reduction]} {self._capacity + 1} --loss_function logistic -b {bits} "
            f"--random_seed {setup.seed} --quiet"
        )

    def predict(self, x: Features) -> list[str]:
        """Return the labels above one half; unused slots are skipped."""
        slots = cast(list[int], self._workspace.predict(self._line("", x)))
        return [self._labels[slot] for slot in slots if slot < len(self._labels)]

    def learn(self, x: Features, y: Truth) -> None:
        """Learn a complete truth; a partial one is only counted."""
        if isinstance(y, Mapping):
            self._partial += 1
            return
        slots = [slot for label in dict.fromkeys(y) if (slot := self._slot(label)) is not None]
        self._workspace.learn(self._line(",".join(map(str, sorted(slots or [self._capacity]))), x))

    def _slot(self, label: str) -> int | None:
        slot = self._slots.get(label)
        if slot is None and len(self._labels) < self._capacity:
            slot = self._slots[label] = len(self._labels)
            self._labels.append(label)
        if slot is None:
            self._refused.add(label)
        return slot

    def _line(self, labels: str, x: Features) -> str:
        """Return an example in Vowpal Wabbit's text format; columns are named by numbers, which hash to themselves."""
        columns = self._columns
        features = numeric_features(x, self._names)
        entries = [f"{columns.setdefault(name, len(columns))}:{value!r}" for name, value in features.items() if value]
        return f"{labels} | {' '.join(entries)}"

    def remarks(self) -> list[str]:
        """Return how many labels exceeded the capacity and how many rows were not learnt."""
        remarks = []
        if self._refused:
            remarks.append(
                f"{len(self._refused)} labels were neither learnt nor predicted: the capacity of {self._capacity} "
                "labels, fixed at the start, was used up."
            )
        if self._partial:
            remarks.append(
                f"{self._partial} rows with a partial truth were not learnt: labels not named would count as false."
            )
        return remarks
