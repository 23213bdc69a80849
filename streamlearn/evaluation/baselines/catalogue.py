"""The baselines by name, each imported when it is asked for."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.base import NOTHING_KNOWN, RowLearner, Start

OURS = "streamlearn"

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
"""Binary relevance over a learner of river."""

VOWPAL_WABBIT = ("vw:oaa", "vw:plt")


def _last(start: Start) -> RowLearner:
    from streamlearn.evaluation.baselines.last import LastLabelSet

    return LastLabelSet()


def _majority(start: Start) -> RowLearner:
    from streamlearn.evaluation.baselines.majority import MajorityLabelSet

    return MajorityLabelSet()


def _labelwise(name: str) -> Callable[[Start], RowLearner]:
    def make(start: Start) -> RowLearner:
        from streamlearn.evaluation.baselines.binary_relevance import BinaryRelevance
        from streamlearn.evaluation.baselines.published import PUBLISHED

        return BinaryRelevance(PUBLISHED[name.removeprefix("br:")], start)

    return make


def _nearest_neighbours(start: Start) -> RowLearner:
    from streamlearn.evaluation.baselines.nearest_neighbours import NearestNeighbours

    return NearestNeighbours(start)


def _isoup_tree(start: Start) -> RowLearner:
    from streamlearn.evaluation.baselines.isoup_tree import IsoupTree

    return IsoupTree(start)


def _vowpal_wabbit(name: str) -> Callable[[Start], RowLearner]:
    def make(start: Start) -> RowLearner:
        from streamlearn.evaluation.baselines.vowpal_wabbit import VowpalWabbit

        return VowpalWabbit(name.removeprefix("vw:"), start)

    return make


BASELINES: dict[str, Callable[[Start], RowLearner]] = {
    "majority": _majority,
    "last": _last,
    "br:knn": _nearest_neighbours,
    **{name: _labelwise(name) for name in RIVER_LABELWISE},
    "isoupt": _isoup_tree,
    **{name: _vowpal_wabbit(name) for name in VOWPAL_WABBIT},
}


def check_learner(name: str) -> None:
    """Raise `UsageError` when there is no learner of that name, or what it needs is not installed."""
    known = [OURS, *BASELINES]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"--learner {name!r}: there is no such learner; {hint}there are {', '.join(known)}")
    if name in VOWPAL_WABBIT and importlib.util.find_spec("vowpalwabbit") is None:
        raise UsageError(
            f"--learner {name}: Vowpal Wabbit is not installed; install it with pip install 'streamlearn[vw]'"
        )


def baseline(name: str, start: Start = NOTHING_KNOWN) -> RowLearner:
    """Return a new baseline.

    Raises
    ------
    UsageError
        When there is none of that name, or what it needs is not installed.
    """
    check_learner(name)
    return BASELINES[name](start)
