"""What takes the place of a model that an error left in the middle of a row."""

from __future__ import annotations

from typing import Any

from streamlearn.errors import BrokenModelError
from streamlearn.printable import shown


class BrokenModel:
    """Refuses every use, where the model itself would answer from arrays that do not belong together.

    Parameters
    ----------
    cause:
        The error that ended learning.
    """

    def __init__(self, cause: BaseException) -> None:
        self._cause = shown(cause)

    def __getattr__(self, name: str) -> Any:
        raise BrokenModelError(
            f"learning ended in the middle of a row with {self._cause}, so this classifier cannot be used: "
            "load the file that was saved last"
        )
