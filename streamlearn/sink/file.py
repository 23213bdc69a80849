"""A sink on files: one JSON Lines file per topic, truncated to its committed end after a failure."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from streamlearn.cleanup import Cleanup
from streamlearn.errors import RetryableError
from streamlearn.sink.base import OutputRecord
from streamlearn.sink.memory import MemorySink
from streamlearn.source.base import Committed, TopicPartition
from streamlearn.source.memory_log import MemoryLog


class FileSink:
    """Appends the values of records to ``<folder>/<topic>.jsonl``, one per line; keys and headers are not written.

    A commit returns when its lines are on the disk. Positions are kept in the log's memory and end with the process, so
    the files belong to one run and must not exist before it.

    Parameters
    ----------
    folder:
        Folder of the files; it is created if it does not exist.
    topics:
        Topics that are written to files; `open` creates the files. Records of other topics, such as the journal, go to
        the log.
    log, group:
        The log, and the group under which positions are committed to it.
    """

    def __init__(self, folder: Path, topics: Collection[str], log: MemoryLog, group: str) -> None:
        self._paths = {topic: folder / f"{topic}.jsonl" for topic in topics}
        self._memory = MemorySink(log, group)
        self._files: dict[str, BinaryIO] = {}
        self._created: set[str] = set()
        self._ends = dict.fromkeys(topics, 0)
        self._lines = dict.fromkeys(topics, 0)

    @property
    def is_open(self) -> bool:
        return self._memory.is_open

    def open(self) -> None:
        """Open the files, and remove the lines after the last commit.

        Raises
        ------
        OSError
            When a file cannot be written, or existed before the first `open`.
        """
        for topic, path in self._paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[topic] = path.open("r+b" if topic in self._created else "xb")
            self._created.add(topic)
            file.truncate(self._ends[topic])
            file.seek(self._ends[topic])
        self._memory.open()

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        if not self.is_open:
            raise RetryableError("the files are not open")
        lines = dict(self._lines)
        offsets: dict[int, int] = {}
        for index, record in enumerate(records):
            if record.topic in self._files:
                self._files[record.topic].write(_format_line(record))
                offsets[index] = lines[record.topic]
                lines[record.topic] += 1
        for topic, file in self._files.items():
            if lines[topic] != self._lines[topic]:
                file.flush()
                os.fsync(file.fileno())
        others = [index for index in range(len(records)) if index not in offsets]
        # The log cannot fail: what follows the write to the disk succeeds as a whole.
        offsets.update(zip(others, self._memory.commit([records[i] for i in others], positions, token), strict=True))
        self._lines = lines
        self._ends = {topic: file.tell() for topic, file in self._files.items()}
        return [offsets[index] for index in range(len(records))]

    def publish(self, record: OutputRecord) -> None:
        file = self._files.get(record.topic)
        if file is None:
            self._memory.publish(record)
            return
        file.write(_format_line(record))
        file.flush()
        self._lines[record.topic] += 1
        self._ends[record.topic] = file.tell()

    def partitions(self, topic: str) -> int:
        return 1 if topic in self._paths else self._memory.partitions(topic)

    def close(self) -> None:
        files, self._files = self._files, {}
        with Cleanup(*(file.close for file in files.values()), self._memory.close):
            pass


def _format_line(record: OutputRecord) -> bytes:
    value = b"null" if record.value is None else record.value
    if b"\n" in value:
        raise ValueError(f"a value for {record.topic} has more than one line, JSON Lines needs one: {value[:80]!r}")
    return value + b"\n"
