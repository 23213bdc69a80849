"""Cleanup that does not hide the error that came before it.

An error in a ``finally`` block, or in what `contextlib.closing` or `contextlib.ExitStack` calls, takes the place of the
error that ended the work, and keeps later steps from being done. But the first error says what is wrong, and decides
the exit status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

_logger = logging.getLogger(__name__)


class Cleanup:
    """A context that does steps at its end, in turn, each whatever happened before it.

    The first error is raised, that of the context's body before those of the steps; later ones are logged.

    Parameters
    ----------
    steps:
        Called without arguments, in this order.
    """

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = steps

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        first = error
        for step in self._steps:
            try:
                step()
            except Exception as failure:
                if first is None:
                    first = failure
                else:
                    _logger.warning(
                        "cleaning up after %s: %s: %s", type(first).__name__, type(failure).__name__, failure
                    )
        if error is None and first is not None:
            raise first
