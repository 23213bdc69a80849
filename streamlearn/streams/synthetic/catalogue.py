"""The generators by name."""

from __future__ import annotations

from streamlearn.errors import UsageError
from streamlearn.streams.synthetic.drifting import Drifting
from streamlearn.streams.synthetic.gradual import Gradual
from streamlearn.streams.synthetic.stationary import Stationary
from streamlearn.streams.synthetic.topics import TopicStream

GENERATORS: dict[str, type[TopicStream]] = {"drifting": Drifting, "gradual": Gradual, "stationary": Stationary}
DEFAULT_INSTANCES = 12_000


def generator(name: str, *, seed: int = 0, instances: int | None = None) -> TopicStream:
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
        raise UsageError(f"there is no built-in stream {name!r}; there are {', '.join(GENERATORS)}")
    return made(seed, DEFAULT_INSTANCES if instances is None else instances)
