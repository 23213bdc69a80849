"""Baselines by name, imported when they are first created."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.base import EMPTY_SETUP, BaselineSetup, RowLearner

STREAMLEARN = "streamlearn"
"""Name of the learner of this package, beside those of the baselines."""

RIVER_LABELWISE = (
    "br:nb",
    "br:amr",
    "br:ht",
    "br:hat",
    "br:efdt",
    "br:sgt",
    "br:mt",
    "br:arf",
    "br:amf",
    "br:abalr",
    "br:abolr",
)
"""Binary relevance over a river learner."""

VOWPAL_WABBIT = ("vw:oaa", "vw:plt")


def _last(setup: BaselineSetup) -> RowLearner:
    from streamlearn.evaluation.baselines.last import LastLabelSet

    return LastLabelSet()


def _majority(setup: BaselineSetup) -> RowLearner:
    from streamlearn.evaluation.baselines.majority import MajorityLabelSet

    return MajorityLabelSet()


def _labelwise(name: str) -> Callable[[BaselineSetup], RowLearner]:
    def make(setup: BaselineSetup) -> RowLearner:
        from streamlearn.evaluation.baselines.binary_relevance import BinaryRelevance
        from streamlearn.evaluation.baselines.published import PUBLISHED

        return BinaryRelevance(PUBLISHED[name.removeprefix("br:")], setup)

    return make


def _nearest_neighbours(setup: BaselineSetup) -> RowLearner:
    from streamlearn.evaluation.baselines.nearest_neighbours import NearestNeighbours

    return NearestNeighbours(setup)


def _isoup_tree(setup: BaselineSetup) -> RowLearner:
    from streamlearn.evaluation.baselines.isoup_tree import IsoupTree

    return IsoupTree(setup)


def _vowpal_wabbit(name: str) -> Callable[[BaselineSetup], RowLearner]:
    def make(setup: BaselineSetup) -> RowLearner:
        from streamlearn.evaluation.baselines.vowpal_wabbit import VowpalWabbit

        return VowpalWabbit(name.removeprefix("vw:"), setup)

    return make


BASELINES: dict[str, Callable[[BaselineSetup], RowLearner]] = {
    "majority": _majority,
    "last": _last,
    "br:knn": _nearest_neighbours,
    **{name: _labelwise(name) for name in RIVER_LABELWISE},
    "isoupt": _isoup_tree,
    **{name: _vowpal_wabbit(name) for name in VOWPAL_WABBIT},
}


def check_learner(name: str) -> None:
    """Raise `UsageError` when there is no learner of that name, or a package it needs is not installed."""
    known = [STREAMLEARN, *BASELINES]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"--learner {name!r}: no such learner; {hint}choose one of {', '.join(known)}")
    if name in VOWPAL_WABBIT and importlib.util.find_spec("vowpalwabbit") is None:
        raise UsageError(
            f"--learner {name}: Vowpal Wabbit is not installed; install it with pip install 'streamlearn[vw]'"
        )


def baseline(name: str, setup: BaselineSetup = EMPTY_SETUP) -> RowLearner:
    """Return a new baseline.

    Parameters
    ----------
    name:
        A key of `BASELINES`.
    setup:
        What the stream declares.

    Raises
    ------
    UsageError
        When there is no baseline of that name, or a package it needs is not installed.
    """
    check_learner(name)
    return BASELINES[name](setup)
