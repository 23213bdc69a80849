"""Environment variables that turn skipped tests, which need a broker or promtool, into failures; the order of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.conftest import LONG_FILES
from tests.environment import is_required

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "required"),
    [(None, False), ("", False), ("0", False), ("false", False), ("No", False), ("1", True), ("true", True)],
)
def test_values_that_switch_a_flag_off(monkeypatch: pytest.MonkeyPatch, text: str | None, required: bool) -> None:
    monkeypatch.delenv("STREAMLEARN_REQUIRE_BROKER", raising=False)
    if text is not None:
        monkeypatch.setenv("STREAMLEARN_REQUIRE_BROKER", text)
    assert is_required("STREAMLEARN_REQUIRE_BROKER") is required


def test_hypothesis_draws_the_same_examples_in_a_default_run(pytestconfig: pytest.Config) -> None:
    assert settings().derandomize == (not pytestconfig.getoption("--random-examples"))


def test_the_longest_files_exist() -> None:
    assert [name for name in LONG_FILES if not (TESTS / name).is_file()] == []


def test_the_longest_files_run_first(request: pytest.FixtureRequest) -> None:
    files = [item.path.relative_to(TESTS).as_posix() for item in request.session.items]
    long = [place for place, name in enumerate(files) if name in LONG_FILES]
    assert long == list(range(len(long)))
