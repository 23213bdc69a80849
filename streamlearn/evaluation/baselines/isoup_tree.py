"""iSOUP-Tree: one incremental regression tree on targets 0 and 1 for all labels.

Source: Osojnik, Panov and Dzeroski, *Multi-label classification via multi-target regression on data streams* (Machine
Learning 106, 2017); parameters as in `published`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlearn.evaluation.baselines.base import BaselineSetup
from streamlearn.evaluation.baselines.numeric_features import ZeroFilledFeatures
from streamlearn.streams.base import Features, Truth


def _tree() -> Any:
    from river import linear_model, tree

    # Some releases of river spell the class with a lower-case i.
    tree_class = getattr(tree, "ISOUPTreeRegressor", None) or tree.iSOUPTreeRegressor  # type: ignore[attr-defined]
    return tree_class(
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
    """river's iSOUP-Tree; a label is predicted above one half.

    The tree takes a fixed set of targets. So a label that appears later starts a new tree that learns from that row on,
    and a row with a partial truth is not learnt.

    Parameters
    ----------
    setup:
        What the stream declares.
    """

    def __init__(self, setup: BaselineSetup) -> None:
        self._features = ZeroFilledFeatures(setup.features)
        self._labels = dict.fromkeys(setup.labels)
        self._tree = _tree()
        self._restarts = 0
        self._partial = 0

    def predict(self, x: Features) -> list[str]:
        """Return the labels above one half."""
        values = self._tree.predict_one(self._features.encode(x))
        return [label for label in self._labels if values.get(label, 0.0) > 0.5]

    def learn(self, x: Features, y: Truth) -> None:
        """Learn a complete truth; a partial one is only counted."""
        features = self._features.encode(x)
        if isinstance(y, Mapping):
            self._partial += 1
            return
        if any(label not in self._labels for label in y):
            self._labels |= dict.fromkeys(y)
            self._tree = _tree()
            self._restarts += 1
        if self._labels:
            true_labels = set(y)
            self._tree.learn_one(features, {label: float(label in true_labels) for label in self._labels})

    def remarks(self) -> list[str]:
        """Return how often the tree was restarted and how many rows were not learnt."""
        remarks = []
        if self._restarts:
            remarks.append(f"The tree was restarted {self._restarts} times, at the first mention of a label.")
        if self._partial:
            remarks.append(f"{self._partial} rows with a partial truth were not learnt: the tree needs all targets.")
        return remarks
