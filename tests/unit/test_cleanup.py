"""Cleanup: every step is done, and the first error is the one that is raised."""

from __future__ import annotations

import pytest

from streamlearn.cleanup import Cleanup
from streamlearn.errors import NameTakenError, RetryableError


class Steps:
    """Steps that note that they were done; the ones that are named raise an error."""

    def __init__(self, *failing: str) -> None:
        self.done: list[str] = []
        self._failing = failing

    def cleanup(self) -> Cleanup:
        return Cleanup(lambda: self._do("first"), lambda: self._do("second"), lambda: self._do("third"))

    def _do(self, name: str) -> None:
        self.done.append(name)
        if name in self._failing:
            raise RetryableError(f"{name} step")


@pytest.mark.parametrize("failing", [(), ("first",), ("second", "third")])
def test_the_error_of_the_body_is_raised_and_those_of_the_steps_are_logged(
    failing: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps(*failing)
    with pytest.raises(NameTakenError), steps.cleanup():
        raise NameTakenError("another worker")
    assert steps.done == ["first", "second", "third"]
    assert [record.message for record in caplog.records] == [
        f"cleaning up after NameTakenError: RetryableError: {name} step" for name in failing
    ]


def test_the_first_error_of_the_steps_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps("second", "third")
    with pytest.raises(RetryableError, match="second step"), steps.cleanup():
        pass
    assert steps.done == ["first", "second", "third"]
    assert [record.message for record in caplog.records] == [
        "cleaning up after RetryableError: RetryableError: third step"
    ]


def test_an_interrupt_is_raised_though_a_step_fails() -> None:
    steps = Steps("first")
    with pytest.raises(KeyboardInterrupt), steps.cleanup():
        raise KeyboardInterrupt
    assert steps.done == ["first", "second", "third"]
