"""Where the real streams lie; tests that need one ask here, and skip plainly when it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def datasets_folder() -> Path:
    """Return the folder that the real streams are looked for in."""
    return Path(os.environ.get("STREAMLEARN_DATASETS") or Path(__file__).parents[2] / "shared" / "datasets")


def dataset(name: str) -> Path:
    """Return the ARFF file of a real stream."""
    path = datasets_folder() / f"{name}.arff.gz"
    if not path.exists():
        pytest.skip(f"real data is absent: {path} (set STREAMLEARN_DATASETS to the folder that has it)")
    return path
