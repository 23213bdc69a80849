"""The one place where kernels are compiled: flags, cache and warm-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function over arrays and scalars to machine code.

    ``fastmath`` stays off: reassociation and contraction would change the last bits from one CPU to the next.
    ``nogil`` lets the service's other threads run while a batch is walked.
    """
    return numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)  # type: ignore[return-value]
