"""What the tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_lag_by_the_second() -> Iterator[None]:
    """Report the lag once per worker: a report reads the clock of a `World`, which advances with every reading, so
    times would depend on how long a run takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamlearn.engine.loop.engine.LAG_SECONDS", 1e9)
        yield
