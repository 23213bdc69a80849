"""Times on the command line."""

from __future__ import annotations

import pytest

from streamlearn.cli.time_options import format_time, parse_time_option
from streamlearn.errors import UsageError


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01", 0),
        ("2026-01-31T12:00", 1_769_860_800_000),
        ("2026-01-31T12:00:00.250", 1_769_860_800_250),
        ("2026-01-31T13:00+01:00", 1_769_860_800_000),
        (None, None),
    ],
)
def test_a_time_without_an_offset_is_utc(text: str | None, milliseconds: int | None) -> None:
    assert parse_time_option("--since", text) == milliseconds


def test_other_texts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^--since 'noon' is not a time: write it as"):
        parse_time_option("--since", "noon")


def test_times_are_formatted_in_utc() -> None:
    assert format_time(1_769_860_800_250) == "2026-01-31T12:00:00.250+00:00"
    assert format_time(-1) == "an unknown time"
