"""Headers of dead letters."""

from __future__ import annotations

import pydantic
import pytest

from streamlearn.records.dead_letter import HEADER_PREFIX, REPLAYED, DeadLetter, leave_out_original

FIELDS = {
    "topic": "instances", "partition": "3", "offset": "7", "timestamp": "1700000000000",
    "reason": "not_json", "text": "é", "version": "1",
}  # fmt: skip
HEADERS = [(f"{HEADER_PREFIX}{name}", text.encode()) for name, text in FIELDS.items()]


def test_other_headers_are_ignored() -> None:
    letter = DeadLetter.from_headers([("trace", b"\xff"), *HEADERS])
    assert (letter.topic, letter.partition, letter.offset, letter.timestamp) == ("instances", 3, 7, 1_700_000_000_000)
    assert (letter.reason, letter.text, letter.version) == ("not_json", "é", "1")


def test_the_last_of_equal_headers_counts() -> None:
    forged = [(f"{HEADER_PREFIX}offset", b"1")]
    assert DeadLetter.from_headers([*forged, *HEADERS]).offset == 7


@pytest.mark.parametrize("missing", FIELDS)
def test_a_record_without_our_headers_is_not_a_dead_letter(missing: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=missing):
        DeadLetter.from_headers([(name, value) for name, value in HEADERS if name != f"{HEADER_PREFIX}{missing}"])


def test_what_does_not_fit_is_left_out_and_forged_headers_cannot_prevent_it() -> None:
    long = b"9" * 10_000
    forged = [(REPLAYED, long), (f"{HEADER_PREFIX}pointer", long), (f"{HEADER_PREFIX}topic", long), ("trace", b"\xff")]
    key, value, headers = leave_out_original(b"key", b"{bad", [*forged, *HEADERS], 100)
    letter = DeadLetter.from_headers(headers)
    assert (key, value, letter.topic, letter.offset, letter.replayed) == (b"", None, "instances", 7, 0)
    assert letter.pointer is not None
    assert letter.pointer.startswith("key, value and headers")
    assert sum(len(name) + len(content) for name, content in headers) < 500
    assert leave_out_original(b"key", b"{bad", HEADERS, 7) == (b"key", b"{bad", HEADERS)
    key, value, headers = leave_out_original(b"key", b"{bad", [("trace", b"\xff"), (REPLAYED, b"3"), *HEADERS], 12)
    assert (key, value, headers[0]) == (b"key", None, ("trace", b"\xff"))
    assert DeadLetter.from_headers(headers).replayed == 3
