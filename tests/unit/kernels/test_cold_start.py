"""The cold start that tests examine gives its kernels to the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernels import cold_start


def test_kernels_of_the_same_settings_are_given_to_the_run_and_replace_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, run = tmp_path / "made", tmp_path / "run" / "sources-machine"
    for name in ("sources-machine", "sources-other"):
        (made / "kernels" / name).mkdir(parents=True)
        for file in ("a.nbc", "b.nbc", "complete-ensemble", "lock"):
            (made / "kernels" / name / file).write_text(name)
    run.mkdir(parents=True)
    (run / "a.nbc").write_text("here before")
    monkeypatch.setattr(cold_start, "kernel_folder", lambda: run)
    assert cold_start.cache_is_cold()
    cold_start.give_to_the_run(made)
    assert not cold_start.cache_is_cold()
    texts = {path.name: path.read_text() for path in run.iterdir()}
    assert texts == {"a.nbc": "here before", "b.nbc": "sources-machine", "complete-ensemble": "sources-machine"}
