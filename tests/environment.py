"""Environment variables that configure the tests."""

from __future__ import annotations

import os


def is_required(name: str) -> bool:
    """Return whether a variable requires that tests fail where they would be skipped; 0, no, off and false do not."""
    return os.environ.get(name, "").strip().lower() not in ("", "0", "no", "off", "false")
