"""Sends dead letters again to the topics that they came from."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.errors import RetryableError
from streamlearn.kafka.admin.reachability import connect
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.records.dead_letter import REPLAYED, DeadLetterRecord, original_headers
from streamlearn.settings.settings import Settings

FLUSH_SECONDS = 30.0
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
        self._sent: list[Any] = []
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
        try:
            future = self._producer.send(about.topic, key=key, value=value, headers=headers, partition=about.partition)
        except kafka_errors.KafkaError as error:
            raise RetryableError(
                f"{letter.name} cannot be sent to {about.topic}[{about.partition}], after {len(self._sent)} others: "
                f"{type(error).__name__}: {error}"
            ) from error
        self._sent.append(future)

    def finish(self) -> int:
        """Wait until all records are acknowledged, and return their number.

        Raises
        ------
        RetryableError
            When some are not.
        """
        with contextlib.suppress(kafka_errors.KafkaTimeoutError):
            self._producer.flush(timeout=FLUSH_SECONDS)
        acknowledged = sum(future.is_done and not future.failed() for future in self._sent)
        if acknowledged < len(self._sent):
            error = next((future.exception for future in self._sent if future.is_done and future.failed()), None)
            reason = f" ({type(error).__name__}: {error})" if error else ""
            raise RetryableError(
                f"only {acknowledged} of {len(self._sent)} records were acknowledged{reason}: check the brokers, then "
                "replay only those that are missing, or the others are learnt twice"
            )
        return acknowledged

    def close(self) -> None:
        """Disconnect."""
        self._producer.close(timeout=5)
