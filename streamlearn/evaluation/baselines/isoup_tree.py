"""iSOUP-Tree: one incremental tree of regressions on 0 and 1 for all labels.

Source: Osojnik, Panov and Dzeroski, *Multi-label classification via multi-target regression on data streams* (Machine
Learning 106, 2017); parameters as in `published`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlearn.evaluation.baselines.base import Start
from streamlearn.evaluation.baselines.numeric_features import FilledNumbers
from streamlearn.streams.base import Features, Truth


def _tree() -> Any:
    from river import linear_model, tree

    # The class has another capital letter in some releases of river.
    made = getattr(tree, "ISOUPTreeRegressor", None) or tree.iSOUPTreeRegressor  # type: ignore[attr-defined]
    return made(
        grace_period=200,
        delta=1e-5,
        tau=0.05,
        leaf_prediction="model",
        leaf_model=linear_model.LogisticRegression(),
        model_selector_decay=0.95,
        splitter=tree.splitter.TEBSTSplitter(),
        min_samples_split=5,
    )


class IsoupTree:
    """river's iSOUP-Tree; a label is answered above one half.

    The tree takes one fixed set of targets. So a label met late starts a new tree that learns from that row on, and a
    row with a partial truth is not learnt.

    Parameters
    ----------
    start:
        What is known before the first row.
    """

    def __init__(self, start: Start) -> None:
        self._numbers = FilledNumbers(start.features)
        self._labels = dict.fromkeys(start.labels)
        self._tree = _tree()
        self._restarts = 0
        self._partial = 0

    def predict(self, x: Features) -> list[str]:
        """Return the labels above one half."""
        answer = self._tree.predict_one(self._numbers.of(x))
        return [label for label in self._labels if answer.get(label, 0.0) > 0.5]

    def learn(self, x: Features, y: Truth) -> None:
        """Learn a complete truth."""
        numbers = self._numbers.of(x)
        if isinstance(y, Mapping):
            self._partial += 1
            return
        if any(label not in self._labels for label in y):
            self._labels |= dict.fromkeys(y)
            self._tree = _tree()
            self._restarts += 1
        if self._labels:
            present = set(y)
            self._tree.learn_one(numbers, {label: float(label in present) for label in self._labels})

    def remarks(self) -> list[str]:
        """Return how often the tree was started anew and how many rows were not learnt."""
        found = []
        if self._restarts:
            found.append(f"The tree was started anew {self._restarts} times, at the first mention of a label.")
        if self._partial:
            found.append(f"{self._partial} rows with a partial truth were not learnt: the tree needs all targets.")
        return found
