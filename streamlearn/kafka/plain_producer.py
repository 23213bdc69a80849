"""A producer outside transactions, replaced after any failure.

After a broker has refused one record, an idempotent producer of the client fails every later one, of any topic, with
the error of the first; so no producer is used again after a failure. Records are waited for one by one: the client's
``flush`` raises as soon as a batch was split.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.cleanup import Cleanup
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.kafka.client_errors import raises_no_client_errors
from streamlearn.kafka.client_internals import with_null_headers

CLOSE_SECONDS = 3.0


@raises_no_client_errors
class PlainProducer:
    """Sends records, without waiting for them.

    Parameters
    ----------
    create:
        Returns a new producer of the client; called at the first record, and after a failure.
    calls:
        Limits the time of the client's calls.
    """

    def __init__(self, create: Callable[[], KafkaProducer], calls: ClientCalls | None = None) -> None:
        self._create = create
        self._calls = calls or ClientCalls()
        self._client: KafkaProducer | None = None
        self._sent: deque[Any] = deque()

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
        partition: int | None = None,
    ) -> Any:
        """Send a record, and return its future, which fails with an error of the client.

        Raises
        ------
        RetryableError, StopError
            When it cannot be sent: no broker answers, or it is larger than any request may be.
        """
        try:
            if self._client is None:
                with self._calls.call("KafkaProducer"):
                    self._client = self._calls.limit(self._create())
            future = self._client.send(
                topic, key=key, value=value, headers=with_null_headers(headers), partition=partition
            )
        except BaseException:
            with Cleanup(self.close):
                raise
        self._sent.append(future)
        return future

    def check(self) -> None:
        """Raise what went wrong with a record since the last check, if anything did; the producer is then replaced.

        Raises
        ------
        RetryableError, StopError
            The first failure.
        """
        failures = []
        for _ in range(len(self._sent)):
            future = self._sent.popleft()
            if not future.is_done:
                self._sent.append(future)
            elif future.failed():
                failures.append(future.exception)
        if failures:
            with Cleanup(self.close):
                raise failures[0]

    def close(self) -> None:
        """Disconnect; what was sent and is not acknowledged within a few seconds is lost."""
        self._sent.clear()
        client, self._client = self._client, None
        if client is not None:
            # Closing waits for a flush that may not succeed; it then raises and leaves its thread running, which ends
            # with the process.
            with contextlib.suppress(kafka_errors.KafkaError, AssertionError):
                client.close(timeout=CLOSE_SECONDS)
