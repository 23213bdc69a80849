"""A cold start that several tests share, because the compilation of all kernels takes a minute."""

from __future__ import annotations

import pytest

from tests.conftest import run_folder
from tests.unit.kernels.cold_start import ColdStart, shared_cold_start


@pytest.fixture(scope="session")
def cold_start(tmp_path_factory: pytest.TempPathFactory) -> ColdStart:
    """Four workers that started together on an empty cache, and a process that compiled for a generic CPU."""
    return shared_cold_start(run_folder(tmp_path_factory))
