# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Committed records of one partition, read again: for a replay, the journal, and a stand-by."""

from __future__ import annotations

import contextlib
import time

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import OffsetLostError, RetryableError, StopError
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.consumer_options import CALL_MS, DAMAGED, POLL_RECORDS, READ_OPTIONS, places, raw_record
from streamlearn.kafka.stalled_partitions import StalledPartitions
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, TopicPartition

READ_SILENCE_SECONDS = 60.0
READ_SECONDS = 0.2
READ_WAIT_MS = 500


class KafkaRangeReader:
    """Reads one partition's committed records again, by a consumer of its own outside the group."""

    def __init__(self, settings: Settings, partition: TopicPartition, start: int) -> None:
        self._partition = ClientPartition(*partition)
        options = {
            **connection_options(settings),
            **READ_OPTIONS,
            "fetch_max_wait_ms": READ_WAIT_MS,
        }
        self._consumer = KafkaConsumer(**options, group_id=None, max_poll_records=POLL_RECORDS)
        self._consumer.assign([self._partition])
        self._consumer.seek(self._partition, start)
        self._start = start
        self._ahead: list[RawRecord] = []
        self._of = partition
        self._withheld = StalledPartitions(lambda of: places(self._consumer, of))

    def read_to(self, end: int) -> list[RawRecord]:
        taken = [record for record in self._ahead if record.offset < end]
        self._ahead = self._ahead[len(taken) :]
        heard = time.monotonic()
        while not self._ahead and self._position() < end:
            polled = self._poll(READ_SECONDS)
            if self._withheld.polled([self._of], [self._of] if polled else [], time.monotonic()) is not None:
                raise self._damaged(f"the broker has records up to {end} and gives none of them")
            if polled:
                heard = time.monotonic()
            elif time.monotonic() - heard > READ_SILENCE_SECONDS:
                raise RetryableError(
                    f"{self._partition.topic}[{self._partition.partition}] gave nothing for "
                    f"{READ_SILENCE_SECONDS:.0f} s "
                    f"at {self._position()}, though it is committed up to {end}"
                )
            for raw in polled:
                (taken if raw.offset < end else self._ahead).append(raw)
        return taken

    def follow(self, timeout_seconds: float) -> list[RawRecord]:
        taken, self._ahead = self._ahead, []
        return taken or self._poll(timeout_seconds)

    def _poll(self, timeout_seconds: float) -> list[RawRecord]:
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        except kafka_errors.OffsetOutOfRangeError as error:
            raise OffsetLostError(
                f"{self._partition.topic}[{self._partition.partition}] no longer has the records from "
                f"{self._position()} on: {error}"
            ) from error
        except kafka_errors.CorruptRecordError as error:
            raise self._damaged(str(error)) from error
        return [raw_record(record) for record in polled.get(self._partition, ())]

    def _damaged(self, text: str) -> StopError:
        damaged = DAMAGED.search(text)
        offset = max(self._position(), int(damaged[3])) if damaged else self._position()
        return StopError(
            f"{self._partition.topic}[{self._partition.partition}] cannot be read again at offset {offset}: {text}. "
            "The broker's log is damaged there: restore the partition from another replica, or put a snapshot of a "
            "later point back under snapshot.location"
        )

    def _position(self) -> int:
        position = self._consumer.position(self._partition, timeout_ms=CALL_MS)
        return self._start if position is None else position

    def close(self) -> None:
        with contextlib.suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=5_000)
