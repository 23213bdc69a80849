"""Where the tests run: environment variables that configure them, and allowance for other load."""

from __future__ import annotations

import os

BESIDE_LOAD_SECONDS = 5.0
"""What a step that is over at once may take more where others use the processor."""


def is_required(name: str) -> bool:
    """Return whether a variable requires that tests fail where they would be skipped; 0, no, off and false do not."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "no", "off", "false")
