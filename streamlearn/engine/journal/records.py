"""The journal: which offsets each transaction applied, in which order, and what clock the model saw.

Each transaction holds one batch record per task, next to the outputs:

    {"v": 2, "type": "batch", "task": 0, "seq": 1281, "rng": [[topic, partition, from, to], ...], "n": [8, 5],
     "crc": ..., "now": nanoseconds, "chain": "..."}

``rng`` are offset ranges [from, to) that tile the input without gaps. Holes inside a range (transaction markers,
aborted records) are allowed, so ``n`` counts the records of each range. ``crc`` is the CRC-32 of the raw values in
applied order.

Records of three other types go before a task's first batch, or before the first batch after a change:

    {"v": 2, "type": "lineage", "task": 0, "id": "...", "topics": {name: [id, partitions]}, "settings": {...},
     "model_version": 1, "release": "...", "platform": "...", "positions": [[topic, partition, offset], ...]}
    {"v": 2, "type": "settings", "task": 0, "settings": {...}}
    {"v": 2, "type": "control", "task": 0, "lost": [[topic, partition, from, to], ...], "model_version": 1,
     "release": "..."}

A rollback takes its own sequence number and transaction, like a batch without records:

    {"v": 2, "type": "rollback", "task": 0, "seq": 1282, "before": "...", "to": [900, "..."],
     "positions": [[topic, partition, offset], ...], "now": nanoseconds, "chain": "..."}

From there on the model is as it was at the mark ``to``, at the given positions: consumed records stay consumed.
``before`` is the chain of the previous mark, and ``chain`` covers it and the record.

So does an upgrade, by which a release of another model version continues although batches were committed after the
last snapshot:

    {"v": 2, "type": "upgrade", "task": 0, "seq": 1283, "before": "...", "base": [900, "..."], "from_version": 1,
     "to_version": 2, "release": "...", "rows": 4711, "learned": "...", "positions": [[topic, partition, offset], ...],
     "now": nanoseconds, "chain": "..."}

From there on the model is the snapshot of the mark ``base``, or a new model at the first mark, migrated to the version
``to_version``, after that version has applied the ``rows`` since once more, without output. ``learned`` is the chain
that this gives: it differs from ``before``, because the answers do.

Version 1 of the records had no model versions; they count as version 0.

The ``chain`` of a batch is BLAKE2b-96 over the previous chain, the journal records since (without ``chain``) and the
outcome of every input record in applied order. Two states with equal chains took the same input to the same answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from streamlearn.errors import JournalError
from streamlearn.source.base import TopicPartition

VERSION = 2
CHAIN_BYTES = 12
FIRST_CHAIN = "0" * (2 * CHAIN_BYTES)


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A committed point of a task: its sequence number and chain. Every committed offset carries it as metadata."""

    seq: int
    chain: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.chain}"


START = Mark(0, FIRST_CHAIN)
"""The mark of a new model, before its first batch."""


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

    @property
    def mark(self) -> Mark:
        """The mark that the task has after the batch."""
        return Mark(self.seq, self.chain)


class TopicIdentity(msgspec.Struct, array_like=True, frozen=True):
    """The id of an input topic, which a recreated topic does not have, and its number of partitions at the start."""

    id: str
    partitions: int


class Position(msgspec.Struct, array_like=True, frozen=True):
    """The next offset to apply of a partition."""

    topic: str
    partition: int
    offset: int


class LineageRecord(msgspec.Struct, tag="lineage", tag_field="type", frozen=True):
    """The start of a model: its identity, topics, settings and first positions."""

    v: int
    task: int
    id: str
    topics: dict[str, TopicIdentity]
    settings: dict[str, Any]
    platform: str
    positions: list[Position]
    model_version: int = 0
    release: str = ""


class SettingsRecord(msgspec.Struct, tag="settings", tag_field="type", frozen=True):
    """The journalled settings from the next batch on."""

    v: int
    task: int
    settings: dict[str, Any]


class ControlRecord(msgspec.Struct, tag="control", tag_field="type", frozen=True):
    """A change that takes effect with the next batch.

    ``lost`` are ranges that are skipped because they cannot be read, as `engine.on_offset_lost` allows.
    ``model_version``, unless None, is the version that computes the batches from here on, and ``release`` the release.
    """

    v: int
    task: int
    lost: list[Range] = []
    model_version: int | None = None
    release: str = ""


class RollbackRecord(msgspec.Struct, tag="rollback", tag_field="type", frozen=True):
    """The model goes back to an earlier mark, under the next sequence number."""

    v: int
    task: int
    seq: int
    before: str
    to: Mark
    positions: list[Position]
    now: int
    chain: str = ""

    @property
    def mark(self) -> Mark:
        """The mark that the task has after the rollback."""
        return Mark(self.seq, self.chain)

    def with_chain(self) -> RollbackRecord:
        """Return the record with its chain filled in."""
        return msgspec.structs.replace(self, chain=_chain_of(self))


class UpgradeRecord(msgspec.Struct, tag="upgrade", tag_field="type", frozen=True):
    """A release of another model version has applied all rows since a snapshot once more."""

    v: int
    task: int
    seq: int
    before: str
    base: Mark
    from_version: int
    to_version: int
    release: str
    rows: int
    learned: str
    positions: list[Position]
    now: int
    chain: str = ""

    @property
    def mark(self) -> Mark:
        """The mark that the task has after the upgrade."""
        return Mark(self.seq, self.chain)

    def with_chain(self) -> UpgradeRecord:
        """Return the record with its chain filled in."""
        return msgspec.structs.replace(self, chain=_chain_of(self))


NumberedRecord = BatchRecord | RollbackRecord | UpgradeRecord
"""Records that take a sequence number and are committed under a mark."""
JournalRecord = BatchRecord | LineageRecord | SettingsRecord | ControlRecord | RollbackRecord | UpgradeRecord


class _Version(msgspec.Struct):
    """The version of any record, which is read first: newer ones may have types and fields of their own."""

    v: int


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(JournalRecord)
_version_decoder = msgspec.json.Decoder(_Version)


def encode(record: JournalRecord) -> bytes:
    """Return a record as JSON; equal records give equal bytes."""
    return _encoder.encode(record)


def decode(value: bytes | None, where: str) -> JournalRecord:
    """Return the record that a journal entry holds; ``where`` names the entry in an error message.

    Raises
    ------
    JournalError
        When it cannot be read or was written in a newer version.
    """
    try:
        version = _version_decoder.decode(value or b"").v
        record = None if version > VERSION else _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalError(
            f"{where} is not a journal record ({error}): the topic was damaged, or written by something else. Restore "
            "the partition from another replica, or put a snapshot of a later point back under snapshot.location"
        ) from None
    if record is None:
        raise JournalError(
            f"{where} has version {version}, this release reads up to {VERSION}: run the release that wrote it"
        )
    return record


class Chain:
    """Hash of one batch: the previous chain, its journal records, and the outcomes of its records in applied order."""

    def __init__(self, previous: str) -> None:
        self._hash = hashlib.blake2b(bytes.fromhex(previous), digest_size=CHAIN_BYTES)

    def add(self, data: bytes) -> None:
        """Add bytes."""
        self._hash.update(data)

    def value(self) -> str:
        """Return the chain as hexadecimal digits."""
        return self._hash.hexdigest()


def _chain_of(record: RollbackRecord | UpgradeRecord) -> str:
    """Return the chain over the previous chain and the record without its own."""
    chain = Chain(record.before)
    chain.add(encode(msgspec.structs.replace(record, chain="")))
    return chain.value()


def parse_mark(text: str, where: str) -> Mark:
    """Return the mark in a committed offset's metadata, ``"<seq>:<chain>"``.

    Raises
    ------
    JournalError
        When the metadata is something else: another program uses the consumer group.
    """
    seq, colon, chain = text.partition(":")
    if colon and seq.isdigit() and len(chain) == 2 * CHAIN_BYTES:
        return Mark(int(seq), chain)
    raise JournalError(
        f"the committed offset of {where} has the metadata {text!r}, which this engine did not write: "
        "the consumer group is used by another program; choose another kafka.group_id"
    )


def moved_ranges(
    starts: dict[TopicPartition, int], ends: dict[TopicPartition, int], counts: dict[TopicPartition, int]
) -> tuple[list[Range], list[int]]:
    """Return the ranges of the partitions that moved, in order of topic and partition, and the records of each."""
    moved: Sequence[TopicPartition] = sorted(partition for partition in ends if ends[partition] > starts[partition])
    return (
        [Range(partition.topic, partition.partition, starts[partition], ends[partition]) for partition in moved],
        [counts.get(partition, 0) for partition in moved],
    )
