"""Dates of ARFF files: patterns of SimpleDateFormat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamlearn.streams.arff_dates import DateFormat


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss", "2001-04-03T12:30:45", datetime(2001, 4, 3, 12, 30, 45)),
        ("yyyyMMddHHmmss", "20010403123045", datetime(2001, 4, 3, 12, 30, 45)),
        ("d/M/yyyy", "3/4/2001", datetime(2001, 4, 3)),
        ("dd MMM yyyy", "03 apr 2001", datetime(2001, 4, 3)),
        ("EEEE, MMMM d, yyyy h:mm a", "Tuesday, April 3, 2001 12:05 am", datetime(2001, 4, 3, 0, 5)),
        ("yyyy-MM-dd KK:mm a", "2001-04-03 11:05 PM", datetime(2001, 4, 3, 23, 5)),
        ("yyyy-MM-dd kk:mm", "2001-04-03 24:05", datetime(2001, 4, 3, 0, 5)),
        ("yyyy-MM-dd HH:mm:ss.SSS", "2001-04-03 01:02:03.7", datetime(2001, 4, 3, 1, 2, 3, 7000)),
        ("yyyy-MM-dd HH:mm Z", "2001-04-03 12:30 +0230", datetime(2001, 4, 3, 10)),
        ("yyyy-MM-dd'T'HH:mmXXX", "2001-04-03T12:30-01:00", datetime(2001, 4, 3, 13, 30)),
        ("yyyy-MM-dd'T'HH:mmX", "2001-04-03T12:30Z", datetime(2001, 4, 3, 12, 30)),
        ("yyyy-MM-dd HH z", "2001-04-03 12 GMT", datetime(2001, 4, 3, 12)),
        ("HH 'o''clock'", "7 o'clock", datetime(1970, 1, 1, 7)),
        ("yyyy", "1600", datetime(1600, 1, 1)),
    ],
)
def test_a_date_is_the_milliseconds_since_1970(pattern: str, text: str, expected: datetime) -> None:
    since = expected.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert DateFormat(pattern).parse(text) == since / timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("dd.MM.yy", "the century of yy"),
        ("yyyy-ww", "ww is not one of"),
        ("yyyy-MM-dd G", "G is not one of"),
        ("yyyy MM MM", "M occurs twice"),
        ("yyyy 'T", "a quote is not closed"),
        ("'T'", "it has no field"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        DateFormat(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "what"),
    [
        ("yyyy-MM-dd", "2001-04", "is not a date of the format 'yyyy-MM-dd'"),
        ("yyyy-MM-dd", "2001-04-03 and more", "is not a date of the format"),
        ("yyyy-MM-dd", "2001-13-03", "13 is not between 1 and 12"),
        ("yyyy-MM-dd", "2001-02-30", "is not a date: day"),
        ("yyyy-MM-dd", "1066-10-14", "1066 is not between 1583 and 9999"),
        ("HH:mm", "24:00", "24 is not between 0 and 23"),
        ("EEE yyyy-MM-dd", "Mon 2001-04-03", "that day is a Tuesday"),
        ("yyyy Z", "2001 +2500", "not a time zone"),
    ],
)
def test_a_text_that_is_no_date_is_refused(pattern: str, text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        DateFormat(pattern).parse(text)
