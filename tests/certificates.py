"""Issues certificates for tests with the script that users run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.environment import is_required

SCRIPT = Path(__file__).parents[1] / "deploy" / "kafka" / "certificates"


def issue(folder: Path, name: str, *, end: str | None = None) -> None:
    """Write a certificate, its key and its authority to a folder; ``end`` is the expiry time, YYYYMMDDhhmmssZ."""
    if shutil.which("openssl") is None and not is_required("STREAMLEARN_REQUIRE_BROKER"):
        pytest.skip("openssl is missing: install it (Debian: apt-get install openssl)")
    subprocess.run([SCRIPT, folder, name, *(["--end", end] if end else [])], check=True, timeout=60)
