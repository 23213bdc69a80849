"""Vowpal Wabbit's multi-label reductions: one against all, and a probabilistic label tree.

Source: Jasinska-Kobus et al., *Online probabilistic label trees* (AISTATS 2021), for the tree; `vowpalwabbit`'s manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.base import Start
from streamlearn.evaluation.baselines.numeric_features import numbers
from streamlearn.streams.base import Features, Truth

REDUCTIONS = {"oaa": "--multilabel_oaa", "plt": "--plt"}
ROOM = 256
"""Labels that there is room for where none is declared: the number is fixed at the start."""
LEAST_BITS, MOST_BITS = 18, 24


class VowpalWabbit:
    """A learner in Vowpal Wabbit with logistic loss; a label is answered above one half.

    The number of labels is fixed before the first row: the declared ones, else `ROOM`. A label beyond it is neither
    learnt nor answered, and a row with a partial truth is not learnt. Vowpal Wabbit takes a row without labels for one
    without truth; so an empty truth is taught as a label of its own, the one after the last, which is never answered.

    Parameters
    ----------
    reduction:
        ``oaa`` or ``plt``.
    start:
        What is known before the first row.

    Raises
    ------
    UsageError
        When Vowpal Wabbit is not installed.
    """

    def __init__(self, reduction: str, start: Start) -> None:
        try:
            from vowpalwabbit import Workspace
        except ImportError:
            raise UsageError(
                f"--learner vw:{reduction}: Vowpal Wabbit is not installed; install it with "
                "pip install 'streamlearn[vw]'"
            ) from None
        self._names = start.features
        self._labels = list(start.labels)
        self._slots = {label: slot for slot, label in enumerate(self._labels)}
        self._room = len(self._labels) or ROOM
        self._columns: dict[str, int] = {}
        self._refused: set[str] = set()
        self._partial = 0
        weights = max(start.columns, 1) * (self._room + 1)
        bits = min(max(weights.bit_length(), LEAST_BITS), MOST_BITS)
        self._workspace = Workspace(
            f"{REDUCTIONS[reduction]} {self._room + 1} --loss_function logistic -b {bits} "
            f"--random_seed {start.seed} --quiet"
        )

    def predict(self, x: Features) -> list[str]:
        """Return the labels above one half; slots that no label has taken are passed over."""
        slots = cast(list[int], self._workspace.predict(self._line("", x)))
        return [self._labels[slot] for slot in slots if slot < len(self._labels)]

    def learn(self, x: Features, y: Truth) -> None:
        """Learn a complete truth."""
        if isinstance(y, Mapping):
            self._partial += 1
            return
        slots = [slot for label in dict.fromkeys(y) if (slot := self._slot(label)) is not None]
        self._workspace.learn(self._line(",".join(map(str, sorted(slots or [self._room]))), x))

    def _slot(self, label: str) -> int | None:
        slot = self._slots.get(label)
        if slot is None and len(self._labels) < self._room:
            slot = self._slots[label] = len(self._labels)
            self._labels.append(label)
        if slot is None:
            self._refused.add(label)
        return slot

    def _line(self, labels: str, x: Features) -> str:
        """Return an example in Vowpal Wabbit's text form; a column's name is a number, which is its own hash."""
        columns = self._columns
        given = numbers(x, self._names)
        entries = [f"{columns.setdefault(name, len(columns))}:{value!r}" for name, value in given.items() if value]
        return f"{labels} | {' '.join(entries)}"

    def remarks(self) -> list[str]:
        """Return how many labels found no room and how many rows were not learnt."""
        found = []
        if self._refused:
            found.append(
                f"{len(self._refused)} labels were neither learnt nor answered: the {self._room} that there was room "
                "for at the start were taken."
            )
        if self._partial:
            found.append(f"{self._partial} rows with a partial truth were not learnt: labels not named would be false.")
        return found
