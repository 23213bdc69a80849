"""Certificates for tests, by the script that people use."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.environment import is_required

SCRIPT = Path(__file__).parents[1] / "deploy" / "kafka" / "certificates"


def issue(folder: Path, name: str, *, end: str | None = None) -> None:
    """Write a certificate, its key and its authority into a folder; ``end`` is when it expires, YYYYMMDDhhmmssZ."""
    if shutil.which("openssl") is None and not is_required("STREAMLEARN_REQUIRE_BROKER"):
        pytest.skip("openssl is missing: install it (Debian: apt-get install openssl)")
    subprocess.run([SCRIPT, folder, name, *(["--end", end] if end else [])], check=True, timeout=60)
