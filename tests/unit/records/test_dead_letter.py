"""Headers of dead letters."""

from __future__ import annotations

import pydantic
import pytest

from streamlearn.records.dead_letter import HEADER_PREFIX, DeadLetter

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
