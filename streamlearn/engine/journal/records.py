"""The journal: which offsets were applied in which order, and what clock the learner saw.

One record a task and transaction, in the same transaction as the outputs:

    {"v": 1, "type": "batch", "task": 0, "seq": 1281, "rng": [[topic, partition, from, to], ...], "n": [8, 5],
     "crc": ..., "now": nanoseconds, "chain": "..."}

``rng`` are ranges [from, to) that tile the input without gaps; holes inside (markers, aborted records) are allowed, so
``n`` counts the rows of each range. ``crc`` is over the raw values in applied order. The records before a task's first
batch, and before the first batch after a change, are

    {"v": 1, "type": "lineage", "task": 0, "id": "...", "topics": {name: [id, partitions]}, "settings": {...},
     "kernel": "...", "platform": "...", "positions": [[topic, partition, offset], ...]}
    {"v": 1, "type": "settings", "task": 0, "settings": {...}}
    {"v": 1, "type": "control", "task": 0, "lost": [[topic, partition, from, to], ...], "kernel": "..."}

A rollback takes a sequence number of its own, in a transaction of its own, like a batch without rows:

    {"v": 1, "type": "rollback", "task": 0, "seq": 1282, "before": "...", "to": [900, "..."],
     "positions": [[topic, partition, offset], ...], "now": nanoseconds, "chain": "..."}

The model is from there on as it was at the point ``to``, with the positions given: what was consumed stays so.
``before`` is the chain of the point before, and ``chain`` is over it and the record.

``chain`` of a batch is BLAKE2b-96 over the previous chain, the records since (without ``chain``) and the outcome of
every row in applied order, so that two states with equal chains took the same input to the same answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from streamlearn.errors import JournalError
from streamlearn.source.base import TopicPartition

VERSION = 1
CHAIN_BYTES = 12
FIRST_CHAIN = "0" * (2 * CHAIN_BYTES)


class Range(msgspec.Struct, array_like=True, frozen=True):
    """Offsets [start, end) of a partition."""

    topic: str
    partition: int
    start: int
    end: int

    @property
    def of(self) -> TopicPartition:
        """The partition."""
        return TopicPartition(self.topic, self.partition)


class BatchRecord(msgspec.Struct, tag="batch", tag_field="type", frozen=True):
    """One transaction of one task."""

    v: int
    task: int
    seq: int
    rng: list[Range]
    n: list[int]
    crc: int
    now: int
    chain: str = ""


class TopicIdentity(msgspec.Struct, array_like=True, frozen=True):
    """What tells an input topic from another one of the same name, and how many partitions it had at the beginning."""

    id: str
    partitions: int


class Position(msgspec.Struct, array_like=True, frozen=True):
    """The offset to apply next of a partition."""

    topic: str
    partition: int
    offset: int


class LineageRecord(msgspec.Struct, tag="lineage", tag_field="type", frozen=True):
    """Where a model comes from, and the positions at which it began."""

    v: int
    task: int
    id: str
    topics: dict[str, TopicIdentity]
    settings: dict[str, Any]
    kernel: str
    platform: str
    positions: list[Position]


class SettingsRecord(msgspec.Struct, tag="settings", tag_field="type", frozen=True):
    """Settings that hold from the next batch on."""

    v: int
    task: int
    settings: dict[str, Any]


class ControlRecord(msgspec.Struct, tag="control", tag_field="type", frozen=True):
    """What holds from the next batch on.

    ``lost`` are ranges that are never applied because the log no longer has them, as `engine.on_offset_lost` allows;
    ``kernel``, unless empty, is the hash of the kernel sources from here on.
    """

    v: int
    task: int
    lost: list[Range] = []
    kernel: str = ""


class Point(msgspec.Struct, array_like=True, frozen=True):
    """A committed point: its sequence and chain."""

    seq: int
    chain: str


class RollbackRecord(msgspec.Struct, tag="rollback", tag_field="type", frozen=True):
    """The model goes back to an earlier point, and takes the next sequence number with it."""

    v: int
    task: int
    seq: int
    before: str
    to: Point
    positions: list[Position]
    now: int
    chain: str = ""

    def sealed(self) -> RollbackRecord:
        """Return the record with the chain that belongs to it."""
        body = msgspec.structs.replace(self, chain="")
        chain = Chain(self.before)
        chain.add(encode(body))
        return msgspec.structs.replace(self, chain=chain.value())


NumberedRecord = BatchRecord | RollbackRecord
"""What takes a sequence number, and is committed as a mark."""
JournalRecord = BatchRecord | LineageRecord | SettingsRecord | ControlRecord | RollbackRecord

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(JournalRecord)


def encode(record: JournalRecord) -> bytes:
    """Return a record's bytes; equal records have equal bytes."""
    return _encoder.encode(record)


def decode(value: bytes | None, where: str) -> JournalRecord:
    """Return the record of a journal entry.

    Raises
    ------
    JournalError
        When it cannot be read or comes from a newer version.
    """
    try:
        record = _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(
            f"{where} is not a journal record ({error}): the topic was damaged, or written by something else. Restore "
            "the partition from another replica, or put a snapshot of a later point back under snapshot.location"
        ) from None
    if record.v > VERSION:
        raise JournalError(
            f"{where} has version {record.v}, this release reads up to {VERSION}: run the release that wrote it"
        )
    return record


class Chain:
    """Hashes one batch: the chain before, journal records, and row outcomes in applied order."""

    def __init__(self, previous: str) -> None:
        self._hash = hashlib.blake2b(bytes.fromhex(previous), digest_size=CHAIN_BYTES)

    def add(self, data: bytes) -> None:
        """Add bytes."""
        self._hash.update(data)

    def value(self) -> str:
        """Return the chain as hexadecimal digits."""
        return self._hash.hexdigest()


class Mark(msgspec.Struct, frozen=True):
    """What is committed beside every offset of a task."""

    seq: int
    chain: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.chain}"


def parse_mark(text: str, where: str) -> Mark:
    """Return a commit's ``"<seq>:<chain>"``.

    Raises
    ------
    JournalError
        When it is something else: the group was used by another program.
    """
    seq, colon, chain = text.partition(":")
    if colon and seq.isdigit() and len(chain) == 2 * CHAIN_BYTES:
        return Mark(int(seq), chain)
    raise JournalError(
        f"the committed offset of {where} carries {text!r}, not this engine's mark: "
        "the consumer group is used by another program; choose another kafka.group_id"
    )


def ranges_of(
    starts: dict[TopicPartition, int], ends: dict[TopicPartition, int], counts: dict[TopicPartition, int]
) -> tuple[list[Range], list[int]]:
    """Return the ranges that moved, in order of topic and partition, and the rows of each."""
    moved: Sequence[TopicPartition] = sorted(partition for partition in ends if ends[partition] > starts[partition])
    return (
        [Range(partition.topic, partition.partition, starts[partition], ends[partition]) for partition in moved],
        [counts.get(partition, 0) for partition in moved],
    )
