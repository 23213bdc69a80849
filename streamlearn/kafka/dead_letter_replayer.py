# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Sending dead letters to the topics that they came from."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.errors import RetryableError
from streamlearn.kafka.client_options import answered, connection_options
from streamlearn.records.dead_letter import REPLAYED, Letter, original_headers
from streamlearn.settings.settings import Settings

FLUSH_SECONDS = 30.0


class DeadLetterReplayer:
    """Sends records again; each gets a header that counts how often, so that a second round is seen.

    Parameters
    ----------
    settings:
        The settings.

    Raises
    ------
    RetryableError
        When no broker answers.
    """

    def __init__(self, settings: Settings) -> None:
        self._sent: list[Any] = []
        with answered(settings, "a replay"):
            self._producer = KafkaProducer(
                **connection_options(settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                max_block_ms=10_000,
                max_request_size=64 << 20,
                allow_auto_create_topics=False,
            )

    def send(
        self, letter: Letter, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        """Send a letter's record to the partition that it came from; headers of ours among ``headers`` are left out.

        Raises
        ------
        RetryableError
            When the producer does not take it.
        """
        about = letter.about
        if key is None and value is None:
            key = b""
        headers = [*original_headers(headers), (REPLAYED, str(about.replayed + 1).encode())]
        try:
            sent = self._producer.send(about.topic, key=key, value=value, headers=headers, partition=about.partition)
        except kafka_errors.KafkaError as error:
            raise RetryableError(
                f"{letter.name} cannot be sent to {about.topic}[{about.partition}], "
                f"after {len(self._sent)} others: {type(error).__name__}: {error}"
            ) from error
        self._sent.append(sent)

    def finish(self) -> int:
        """Wait until all are acknowledged, and return how many are.

        Raises
        ------
        RetryableError
            When some are not.
        """
        with contextlib.suppress(kafka_errors.KafkaTimeoutError):
            self._producer.flush(timeout=FLUSH_SECONDS)
        done = sum(future.is_done and not future.failed() for future in self._sent)
        if done < len(self._sent):
            error = next((future.exception for future in self._sent if future.is_done and future.failed()), None)
            raise RetryableError(
                f"{done} of {len(self._sent)} records were acknowledged, the others not"
                f"{f' ({type(error).__name__}: {error})' if error else ''}: check the brokers, and replay those that "
                "are missing alone, or some are learnt twice"
            )
        return done

    def close(self) -> None:
        """Disconnect."""
        self._producer.close(timeout=5)
