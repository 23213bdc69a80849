"""Sends dead letters again to the topics that they came from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.errors import RetryableError
from streamlearn.kafka.admin.reachability import connect
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.kafka.topic_limits import LIMIT_SETTING, TOO_LARGE_ERRORS, batch_bytes_of
from streamlearn.records.dead_letter import REPLAYED, DeadLetterRecord, original_headers
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord

FINISH_SECONDS = 30.0
_OPTIONS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 5,
    "max_block_ms": 10_000,
    "max_request_size": 64 << 20,
    "allow_auto_create_topics": False,
}


class DeadLetterReplayer:
    """Sends records again; each gets a header that counts its replays, so that a second one can be recognized.

    Parameters
    ----------
    settings:
        The settings.

    Raises
    ------
    RetryableError, UsageError
        As `connect`.
    """

    def __init__(self, settings: Settings) -> None:
        self._sent: list[tuple[OutputRecord, Any]] = []
        options = {**connection_options(settings), **_OPTIONS, **compression_options(settings.kafka)}
        self._producer = connect(settings, lambda: KafkaProducer(**options))

    def send(
        self, letter: DeadLetterRecord, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Send a letter's record to the partition that it came from, without our own headers among ``headers``.

        Raises
        ------
        RetryableError
            When the producer does not accept it.
        """
        about = letter.about
        if key is None and value is None:
            key = b""
        headers = [*original_headers(headers), (REPLAYED, str(about.replayed + 1).encode())]
        record = OutputRecord(about.topic, about.partition, key, value, headers)
        try:
            future = self._producer.send(about.topic, key=key, value=value, headers=headers, partition=about.partition)
        except kafka_errors.KafkaError as error:
            raise RetryableError(
                f"{letter.name} cannot be sent to {about.topic}[{about.partition}], after {len(self._sent)} others: "
                f"{type(error).__name__}: {error}"
            ) from error
        self._sent.append((record, future))

    def finish(self) -> int:
        """Wait until all records are acknowledged, and return their number.

        Raises
        ------
        RetryableError
            When some are not.
        """
        deadline = time.monotonic() + FINISH_SECONDS
        acknowledged = 0
        reason = ""
        for record, future in self._sent:
            try:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
                acknowledged += 1
            except TOO_LARGE_ERRORS:
                reason = (
                    f" (a record of {batch_bytes_of(record):,} bytes is larger than {LIMIT_SETTING} of {record.topic})"
                )
            except kafka_errors.KafkaError as error:
                reason = reason or f" ({type(error).__name__}: {error})"
        if acknowledged < len(self._sent):
            raise RetryableError(
                f"only {acknowledged} of {len(self._sent)} records were acknowledged{reason}: check the brokers, then "
                "replay only those that are missing, or the others are learnt twice"
            )
        return acknowledged

    def close(self) -> None:
        """Disconnect."""
        self._producer.close(timeout=5)
