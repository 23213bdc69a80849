"""Dates of ARFF files: the patterns of Java's SimpleDateFormat, read strictly.

A date is a number: milliseconds since 1970-01-01T00:00:00 UTC. Fields that a pattern lacks have that date's values.
Java reads more than this module: days that do not exist roll over, text behind a date is ignored, a year of two digits
depends on the current date, and a time without a zone is in the zone of the machine. Here the first two are refused,
patterns of two-digit years too, and a time without a zone is in UTC.

Source: the documentation of java.text.SimpleDateFormat, Java 17, "Date and Time Patterns".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

ISO_8601 = "yyyy-MM-dd'T'HH:mm:ss"
"""The pattern of a date attribute that declares none."""

FIRST_YEAR = 1583
"""The first whole year of the Gregorian calendar; before it Java counts in the Julian one."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = frozenset("yMdHkKhmsS")
SUPPORTED = "yyyy, M, MM, MMM, MMMM, d, H, k, K, h, a, m, s, S, E, Z, X, z"

_PART = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|([^A-Za-z']+)")
_LIMITS = {"d": (1, 31), "H": (0, 23), "k": (1, 24), "K": (0, 11), "h": (1, 12), "m": (0, 59), "s": (0, 59)}
_LIMITS |= {"S": (0, 999), "M": (1, 12), "y": (FIRST_YEAR, 9999)}


class DateFormat:
    """A pattern of SimpleDateFormat, such as ``yyyy-MM-dd'T'HH:mm:ss``.

    Raises
    ------
    ValueError
        When the pattern has a part that is not supported.
    """

    def __init__(self, pattern: str = ISO_8601) -> None:
        self.pattern = pattern
        parts = _split(pattern)
        self._fields: list[str] = []
        expression = ""
        for (kind, text), (next_kind, next_text) in pairwise([*parts, ("", "")]):
            if not kind:
                expression += re.escape(text)
                continue
            letter = text[0]
            if letter in self._fields:
                raise ValueError(f"{pattern!r} is not a date format that can be read: {letter} occurs twice")
            self._fields.append(letter)
            abuts = bool(next_kind) and _is_number(next_text)
            expression += f"({_expression(text, abuts, pattern)})"
        if not self._fields:
            raise ValueError(f"{pattern!r} is not a date format: it has no field such as yyyy")
        self._match = re.compile(expression, re.ASCII).fullmatch

    def parse(self, text: str) -> float:
        """Return the milliseconds since 1970 of a date.

        Raises
        ------
        ValueError
            When the text is not a date of this format.
        """
        match = self._match(text)
        if match is None:
            raise ValueError(f"{text!r} is not a date of the format {self.pattern!r}")
        values = {}
        for letter, found in zip(self._fields, match.groups(), strict=True):
            values[letter] = _READERS.get(letter, int)(found)
            low, high = _LIMITS.get(letter, (0, 0))
            if letter in _LIMITS and not low <= values[letter] <= high:
                raise ValueError(f"{text!r} is not a date: {found} is not between {low} and {high}")
        try:
            day = datetime(values.get("y", 1970), values.get("M", 1), values.get("d", 1), tzinfo=UTC)
        except ValueError as error:
            raise ValueError(f"{text!r} is not a date: {error}") from None
        if "E" in values and values["E"] != day.weekday():
            raise ValueError(f"{text!r} is not a date: that day is a {DAYS[day.weekday()]}")
        zone = next((values[letter] for letter in "ZXz" if letter in values), 0)
        time = timedelta(
            hours=_hour(values),
            minutes=values.get("m", 0) - zone,
            seconds=values.get("s", 0),
            milliseconds=values.get("S", 0),
        )
        return float((day - EPOCH + time) // timedelta(milliseconds=1))


def _split(pattern: str) -> list[tuple[str, str]]:
    """Return the parts of a pattern: an empty text and a literal, or ``field`` and its letters."""
    parts: list[tuple[str, str]] = []
    position = 0
    while position < len(pattern):
        match = _PART.match(pattern, position)
        if match is None:
            raise ValueError(f"{pattern!r} is not a date format: a quote is not closed")
        if match[2]:
            parts.append(("field", match[0]))
        else:
            parts.append(("", (match[1].replace("''", "'") or "'") if match[1] is not None else match[3]))
        position = match.end()
    return parts


def _is_number(field: str) -> bool:
    return field[0] in NUMBERS and not (field[0] == "M" and len(field) > 2)


def _expression(field: str, abuts: bool, pattern: str) -> str:
    """Return the regular expression of a field; a number that another one follows has as many digits as letters."""
    letter, count = field[0], len(field)
    if letter == "y" and count < 3:
        raise ValueError(
            f"{pattern!r} is not a date format that can be read: the century of {field} depends on the current date; "
            "write years with four digits"
        )
    if _is_number(field):
        return rf"\d{{{count}}}" if abuts else r"\d{1,9}"
    if letter == "M":
        return _any_of(MONTHS)
    if letter == "E":
        return _any_of(DAYS)
    if letter == "a":
        return "(?i:AM|PM)"
    if letter in "Zz":
        return r"UTC|GMT|[+-]\d{4}"
    if letter == "X" and count <= 3:
        return "Z|" + (r"[+-]\d\d", r"[+-]\d{4}", r"[+-]\d\d:\d\d")[count - 1]
    raise ValueError(f"{pattern!r} is not a date format that can be read: {field} is not one of {SUPPORTED}")


def _any_of(names: tuple[str, ...]) -> str:
    return f"(?i:{'|'.join([*names, *(name[:3] for name in names)])})"


def _read_month(text: str) -> int:
    return int(text) if text.isdecimal() else _position(MONTHS, text) + 1


def _position(names: tuple[str, ...], text: str) -> int:
    return next(index for index, name in enumerate(names) if name[:3].lower() == text[:3].lower())


def _read_zone(text: str) -> int:
    """Return the minutes east of UTC."""
    digits = re.sub(r"\D", "", text)
    if not digits:
        return 0
    minutes = int(digits[2:] or 0)
    if int(digits[:2]) > 23 or minutes > 59:
        raise ValueError(f"{text!r} is not a time zone")
    return (-1 if text[0] == "-" else 1) * (60 * int(digits[:2]) + minutes)


def _hour(values: dict[str, int]) -> int:
    if "h" in values or "K" in values:
        return values.get("h", values.get("K", 0)) % 12 + 12 * values.get("a", 0)
    return values.get("H", values.get("k", 0)) % 24


_READERS: dict[str, Callable[[str], int]] = {
    "M": _read_month,
    "E": lambda text: _position(DAYS, text),
    "a": lambda text: int(text[0] in "pP"),
    "Z": _read_zone,
    "X": _read_zone,
    "z": _read_zone,
}
