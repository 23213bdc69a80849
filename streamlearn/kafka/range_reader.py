"""Reads committed records of one partition again: for a replay, for the journal, and for a stand-by."""

from __future__ import annotations

import contextlib
import time

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import OffsetLostError, RetryableError, StopError
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.kafka.client_errors import raises_no_client_errors
from streamlearn.kafka.client_internals import local_position, parse_corrupt_record, poll
from streamlearn.kafka.client_options import lookup_options
from streamlearn.kafka.consumer_options import (
    MAX_POLL_RECORDS,
    READ_OPTIONS,
    fetch_position_and_end,
    to_raw_record,
)
from streamlearn.kafka.stalled_partitions import StalledPartitionDetector
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, TopicPartition

MAX_SILENCE_SECONDS = 60.0
POLL_SECONDS = 0.2
RANGE_FETCH_WAIT_MS = 500


@raises_no_client_errors
class KafkaRangeReader:
    """Reads one partition's committed records with a consumer of its own, outside the group."""

    def __init__(
        self, settings: Settings, partition: TopicPartition, start: int, *, calls: ClientCalls | None = None
    ) -> None:
        calls = calls or ClientCalls()
        self._partition = partition
        self._client_partition = ClientPartition(*partition)
        self._name = f"{partition.topic}[{partition.partition}]"
        options = {**lookup_options(settings), **READ_OPTIONS, "fetch_max_wait_ms": RANGE_FETCH_WAIT_MS}
        with calls.call("KafkaConsumer"):
            self._consumer = calls.limit(KafkaConsumer(**options, group_id=None))
        self._consumer.assign([self._client_partition])
        self._consumer.seek(self._client_partition, start)
        self._start = start
        self._read_ahead: list[RawRecord] = []
        self._stalled = StalledPartitionDetector(lambda which: fetch_position_and_end(self._consumer, which))

    def read_to(self, end: int) -> list[RawRecord]:
        records = [record for record in self._read_ahead if record.offset < end]
        self._read_ahead = self._read_ahead[len(records) :]
        last_record = time.monotonic()
        while not self._read_ahead and self._position() < end:
            polled = self._poll(POLL_SECONDS)
            active = [self._partition] if polled else []
            if self._stalled.check([self._partition], active, time.monotonic()) is not None:
                raise self._corrupt_log_error(f"the broker has records up to {end} but returns none of them")
            if polled:
                last_record = time.monotonic()
            elif time.monotonic() - last_record > MAX_SILENCE_SECONDS:
                raise RetryableError(
                    f"{self._name} returned nothing for {MAX_SILENCE_SECONDS:.0f} s at offset {self._position()}, "
                    f"although it is committed up to {end}"
                )
            for record in polled:
                (records if record.offset < end else self._read_ahead).append(record)
        return records

    def follow(self, timeout_seconds: float) -> list[RawRecord]:
        records, self._read_ahead = self._read_ahead, []
        return records or self._poll(timeout_seconds)

    def _poll(self, timeout_seconds: float) -> list[RawRecord]:
        try:
            polled = poll(self._consumer, int(timeout_seconds * 1000), MAX_POLL_RECORDS)
        except kafka_errors.OffsetOutOfRangeError as error:
            raise OffsetLostError(
                f"{self._name} no longer has the records from offset {self._position()} on: {error}"
            ) from error
        except kafka_errors.CorruptRecordError as error:
            raise self._corrupt_log_error(str(error)) from error
        return [to_raw_record(record) for record in polled.get(self._client_partition, ())]

    def _corrupt_log_error(self, reason: str) -> StopError:
        corrupt = parse_corrupt_record(reason)
        offset = self._position() if corrupt is None else max(self._position(), corrupt.offset)
        return StopError(
            f"{self._name} cannot be read again at offset {offset}: {reason}. The broker's log is damaged there: "
            "restore the partition from another replica, or put a snapshot of a later point back under "
            "snapshot.location"
        )

    def _position(self) -> int:
        position = local_position(self._consumer, self._client_partition)
        return self._start if position is None else position

    def close(self) -> None:
        with contextlib.suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=5_000)
