"""Sends dead letters again to the topics that they came from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.errors import RetryableError, StopError
from streamlearn.kafka.admin.reachability import connect
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.kafka.plain_producer import PlainProducer
from streamlearn.kafka.topic_limits import LIMIT_SETTING, TOO_LARGE_ERRORS, batch_bytes_of
from streamlearn.records.dead_letter import REPLAYED, DeadLetterRecord, original_headers
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord

FLUSH_SECONDS = 30.0
CHUNK = 500
"""Records that are sent before their acknowledgements are waited for."""
SHOWN = 10
"""Refused records that an error names."""
_OPTIONS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 5,
    "max_block_ms": 10_000,
    "max_request_size": 64 << 20,
    "allow_auto_create_topics": False,
}


class _Replayed(NamedTuple):
    """A record to send again."""

    letter: DeadLetterRecord
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class DeadLetterReplayer:
    """Sends records again; each gets a header that counts its replays, so that a second one can be recognized.

    A record that a broker refuses does not keep the others from being sent.

    Parameters
    ----------
    settings:
        The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = PlainProducer(self._create)
        self._unsent: list[_Replayed] = []
        self._refused: list[str] = []
        self._acknowledged = 0

    def _create(self) -> KafkaProducer:
        options = {**connection_options(self._settings), **_OPTIONS, **compression_options(self._settings.kafka)}
        return connect(self._settings, lambda: KafkaProducer(**options))

    def send(
        self,
        letter: DeadLetterRecord,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> None:
        """Send a letter's record to the partition that it came from, without our own headers among ``headers``.

        Raises
        ------
        RetryableError, UsageError
            When brokers do not acknowledge the records so far, or as `connect`. A record that they refuse raises in
            `finish` only.
        """
        if key is None and value is None:
            key = b""
        counted = [*original_headers(headers), (REPLAYED, str(letter.about.replayed + 1).encode())]
        self._unsent.append(_Replayed(letter, key, value, counted))
        if len(self._unsent) >= CHUNK:
            self._deliver()

    def finish(self) -> int:
        """Wait until all records are acknowledged, and return their number.

        Raises
        ------
        RetryableError, UsageError
            When some are not, or as `connect`.
        """
        self._deliver()
        if self._refused:
            count = self._acknowledged + len(self._refused)
            shown = "; ".join([*self._refused[:SHOWN], *(["and others"] if len(self._refused) > SHOWN else [])])
            raise RetryableError(
                f"only {self._acknowledged:,} of {count:,} records were acknowledged; refused: {shown}. Correct the "
                "topics or the permissions, then replay only those, or the others are learnt twice"
            )
        return self._acknowledged

    def _deliver(self) -> None:
        """Send what is not sent yet, and wait for it; then send alone what failed because of another record."""
        unsent, self._unsent = self._unsent, []
        again = [replayed for replayed, error in self._send_together(unsent) if error is not None]
        for replayed in again:
            ((_, error),) = self._send_together([replayed])
            if error is not None:
                self._refused.append(f"{replayed.letter.name} ({_explain(replayed, error)})")

    def _send_together(self, records: Sequence[_Replayed]) -> list[tuple[_Replayed, Exception | None]]:
        """Send records and wait for each; return which were refused, and why.

        Raises
        ------
        RetryableError
            When it is not known whether a record was written: sending it again might write it twice.
        """
        futures: list[Any] = []
        results: list[tuple[_Replayed, Exception | None]] = []
        for replayed in records:
            about = replayed.letter.about
            try:
                futures.append(
                    self._producer.send(
                        about.topic,
                        key=replayed.key,
                        value=replayed.value,
                        headers=replayed.headers,
                        partition=about.partition,
                    )
                )
            except StopError as error:
                # The client did not take it; the producer is another one from here on.
                futures.append(error)
            except RetryableError as error:
                futures.append(error)
                break
        deadline = time.monotonic() + FLUSH_SECONDS
        for replayed, future in zip(records, futures, strict=False):
            error = future if isinstance(future, Exception) else _wait(future, deadline)
            if error is None:
                self._acknowledged += 1
            elif not _is_refusal(error):
                raise RetryableError(
                    f"only {self._acknowledged:,} records were acknowledged, and not {replayed.letter.name} ({error}): "
                    "check the brokers, then replay only those that are missing, or the others are learnt twice"
                ) from error
            results.append((replayed, error))
        if any(error is not None for _, error in results):
            self._producer.close()
        return results

    def close(self) -> None:
        """Disconnect."""
        self._producer.close()


def _wait(future: Any, deadline: float) -> Exception | None:
    """Wait for a record's acknowledgement, and return what went wrong."""
    try:
        future.get(timeout=max(0.0, deadline - time.monotonic()))
    except kafka_errors.KafkaError as error:
        return error
    return None


def _explain(replayed: _Replayed, error: Exception) -> str:
    about = replayed.letter.about
    causes = (error, error.__cause__)
    if not any(isinstance(cause, TOO_LARGE_ERRORS) for cause in causes):
        return str(error)
    size = batch_bytes_of(OutputRecord(about.topic, about.partition, replayed.key, replayed.value, replayed.headers))
    return f"a record of {size:,} bytes is larger than {LIMIT_SETTING} of {about.topic}"


def _is_refusal(error: Exception) -> bool:
    """Return whether an error says that a broker, or the client, did not write the record and will not."""
    if isinstance(error, StopError):
        return True
    return (
        isinstance(error, kafka_errors.BrokerResponseError)
        and not isinstance(error, kafka_errors.UnknownError)
        and not error.retriable
    )
