"""``dead-letters`` without brokers: what stays of an export that fails, and reasons that do not exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streamlearn.cli import dead_letters
from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.dead_letter_reader import DeadLetterFilter
from streamlearn.records.dead_letter import DeadLetter, DeadLetterRecord

LETTER = DeadLetterRecord(
    0,
    5,
    1_000,
    b"k",
    b"{",
    [],
    DeadLetter(
        topic="t", partition=0, offset=1, timestamp=1, size=1, reason="not_json", text="?", version="1", pointer=None
    ),
)


class _Letters:
    """The letters of a topic whose broker fails behind the last of them, if ``error`` is not None."""

    foreign = 0

    def __init__(self, letters: Sequence[DeadLetterRecord], error: Exception | None = None) -> None:
        self._letters = letters
        self._error = error

    def read(self, _: DeadLetterFilter) -> Iterator[DeadLetterRecord]:
        yield from self._letters
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        pass


def test_an_export_that_breaks_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "letters.jsonl"
    monkeypatch.setattr(dead_letters, "_reader", lambda _: _Letters([LETTER], RetryableError("away")))
    with pytest.raises(RetryableError, match="away"):
        dead_letters.export(file)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(dead_letters, "_reader", lambda _: _Letters([LETTER]))
    dead_letters.export(file)
    assert file.read_text().count('"reason": "not_json"') == 1


def test_an_export_replaces_no_file_and_names_one_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_reader", lambda _: _Letters([LETTER]))
    file = tmp_path / "letters.jsonl"
    file.write_text("mine")
    with pytest.raises(UsageError, match=r"letters\.jsonl exists"):
        dead_letters.export(file)
    assert file.read_text() == "mine"
    with pytest.raises(UsageError, match=r"absent/letters\.jsonl cannot be written: No such file"):
        dead_letters.export(tmp_path / "absent" / "letters.jsonl")


def test_an_unknown_reason_is_a_warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dead_letters, "_reader", lambda _: _Letters([]))
    dead_letters.list_letters(reasons=["not_json", "not-jason"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: --reason not-jason: this release has no such reason, only empty_value, ")
