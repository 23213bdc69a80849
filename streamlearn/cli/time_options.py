"""Times on the command line: parse options, format output."""

from __future__ import annotations

from datetime import UTC, datetime

from streamlearn.errors import UsageError


def parse_time_option(option: str, text: str | None) -> int | None:
    """Return an option's ISO 8601 time in milliseconds since the epoch; None for None.

    A time without an offset is UTC.

    Raises
    ------
    UsageError
        When the text is not a time.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a time: write it as 2026-01-31T12:00") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def format_time(milliseconds: int) -> str:
    """Return milliseconds since the epoch as ISO 8601 text in UTC; "an unknown time" for a negative value."""
    if milliseconds < 0:
        return "an unknown time"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
