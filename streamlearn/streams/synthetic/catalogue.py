"""Catalogue of the generators."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import get_args

from streamlearn.errors import UsageError
from streamlearn.streams.synthetic.base import GeneratedStream
from streamlearn.streams.synthetic.drifting import Drifting
from streamlearn.streams.synthetic.gradual import Gradual
from streamlearn.streams.synthetic.meta_drift import (
    DriftPattern,
    DriftTarget,
    MetaDrift,
    MetaLabelStream,
    MetaLabelTurnover,
)
from streamlearn.streams.synthetic.stationary import Stationary


def _meta_factory(target: DriftTarget, pattern: DriftPattern) -> Callable[[int, int], GeneratedStream]:
    return lambda seed, instances: MetaLabelStream(seed, instances, MetaDrift(target, pattern))


GENERATORS: dict[str, Callable[[int, int], GeneratedStream]] = {
    "drifting": Drifting,
    "gradual": Gradual,
    "stationary": Stationary,
    "meta": MetaLabelStream,
    **{
        f"meta-{target}-{pattern}": _meta_factory(target, pattern)
        for target in get_args(DriftTarget)
        for pattern in get_args(DriftPattern)
    },
    "meta-labels": MetaLabelTurnover,
}
"""Factory of each stream by name; it takes a seed and a number of instances."""

DEFAULT_INSTANCES = 12_000


def generator(name: str, *, seed: int = 0, instances: int | None = None) -> GeneratedStream:
    """Return a built-in stream.

    Raises
    ------
    UsageError
        When there is no generator of that name.

    >>> stream = generator("drifting", seed=1, instances=5_000)
    >>> [drift.row for drift in stream.drifts]
    [4000]
    """
    factory = GENERATORS.get(name)
    if factory is None:
        close = difflib.get_close_matches(name, GENERATORS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"there is no built-in stream {name!r}; {hint}name one of {', '.join(GENERATORS)}")
    return factory(seed, DEFAULT_INSTANCES if instances is None else instances)
