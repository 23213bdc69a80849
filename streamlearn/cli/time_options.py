"""Times as people write and read them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from streamlearn.errors import UsageError


def moment_of(option: str, text: str | None) -> int | None:
    """Return an option's time in milliseconds since the epoch; UTC unless it says; None for none.

    Raises
    ------
    UsageError
        When it is no time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is no time: write it as 2026-01-31T12:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def time_of(milliseconds: int) -> str:
    """Return a time as text, in UTC."""
    if milliseconds < 0:
        return "an unknown time"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
