"""Finds the real streams; a test that needs an absent one is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def datasets_folder() -> Path:
    """Return the folder of the real streams."""
    return Path(os.environ.get("STREAMLEARN_DATASETS") or Path(__file__).parents[2] / "shared" / "datasets")


def dataset(name: str) -> Path:
    """Return the ARFF file of a real stream; skip the test if it is absent."""
    path = datasets_folder() / f"{name}.arff.gz"
    if not path.exists():
        pytest.skip(f"real stream not found: {path} (set STREAMLEARN_DATASETS to its folder)")
    return path
