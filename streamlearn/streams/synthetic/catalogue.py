"""The generators by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import get_args

from streamlearn.errors import UsageError
from streamlearn.streams.synthetic.base import GeneratedStream
from streamlearn.streams.synthetic.drifting import Drifting
from streamlearn.streams.synthetic.gradual import Gradual
from streamlearn.streams.synthetic.meta_drift import How, MetaDrift, MetaLabelStream, MetaLabelTurnover, What
from streamlearn.streams.synthetic.stationary import Stationary


def _meta(what: What, how: How) -> Callable[[int, int], GeneratedStream]:
    return lambda seed, instances: MetaLabelStream(seed, instances, MetaDrift(what, how))


GENERATORS: dict[str, Callable[[int, int], GeneratedStream]] = {
    "drifting": Drifting,
    "gradual": Gradual,
    "stationary": Stationary,
    "meta": MetaLabelStream,
    **{f"meta-{what}-{how}": _meta(what, how) for what in get_args(What) for how in get_args(How)},
    "meta-labels": MetaLabelTurnover,
}
"""From a name to what makes the stream of a seed and a number of instances."""

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
    made = GENERATORS.get(name)
    if made is None:
        close = difflib.get_close_matches(name, GENERATORS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"there is no built-in stream {name!r}; {hint}there are {', '.join(GENERATORS)}")
    return made(seed, DEFAULT_INSTANCES if instances is None else instances)
