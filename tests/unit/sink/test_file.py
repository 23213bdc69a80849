"""The file sink: lines, offsets, positions, and what a failed commit leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamlearn.errors import RetryableError
from streamlearn.sink.base import OutputRecord
from streamlearn.sink.file import FileSink
from streamlearn.source.base import Committed, TopicPartition
from streamlearn.source.memory_log import MemoryLog

INPUT = TopicPartition("instances", 0)


def _record(topic: str, value: bytes) -> OutputRecord:
    return OutputRecord(topic, 3, b"key", value)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def sink(tmp_path: Path, log: MemoryLog) -> FileSink:
    made = FileSink(tmp_path / "out", ("a", "b"), log, "group")
    made.open()
    return made


def test_commits_are_lines_with_offsets_and_positions(sink: FileSink, tmp_path: Path, log: MemoryLog) -> None:
    position = Committed(3, "mark")
    records = [_record("a", b"1"), _record("journal", b"j"), _record("a", b"2"), _record("b", b"{}")]
    assert sink.commit(records, {INPUT: position}, None) == [0, 0, 1, 0]
    assert sink.commit([_record("a", b"3"), _record("journal", b"k")], {INPUT: position}, None) == [2, 1]
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == b"1\n2\n3\n"
    assert (tmp_path / "out" / "b.jsonl").read_bytes() == b"{}\n"
    assert [record.value for record in log.read(TopicPartition("journal", 0))] == [b"j", b"k"]
    assert log.committed == {("group", INPUT): position}


def test_failed_commit_leaves_nothing(
    sink: FileSink, tmp_path: Path, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.commit([_record("a", b"1")], {INPUT: Committed(1, "first")}, None)
    sink.publish(_record("b", b"published"))

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            sink.commit([_record("a", b"2"), _record("b", b"2")], {INPUT: Committed(2, "second")}, None)
    assert log.committed[("group", INPUT)] == Committed(1, "first")
    sink.close()
    assert not sink.is_open
    sink.open()
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == b"1\n"
    assert (tmp_path / "out" / "b.jsonl").read_bytes() == b"published\n"
    assert sink.commit([_record("a", b"2"), _record("b", b"2")], {}, None) == [1, 1]
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == b"1\n2\n"


def test_files_of_another_run_are_not_touched(sink: FileSink, tmp_path: Path, log: MemoryLog) -> None:
    sink.commit([_record("a", b"1")], {}, None)
    sink.close()
    with pytest.raises(FileExistsError):
        FileSink(tmp_path / "out", ("a",), log, "group").open()
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == b"1\n"


def test_closed_sink_and_broken_lines_are_refused(sink: FileSink) -> None:
    with pytest.raises(ValueError, match="more than one line"):
        sink.commit([_record("a", b"1\n2")], {}, None)
    sink.close()
    with pytest.raises(RetryableError):
        sink.commit([_record("a", b"1")], {}, None)
