"""Environment variables that turn skipped tests, which need a broker or promtool, into failures."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.environment import is_required


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
