"""Converts the Kafka client's errors to ours, so that none of them leaves this package."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from kafka import errors as kafka_errors

from streamlearn.errors import FencedError, RetryableError, StopError, StreamlearnError

_PERMANENT = (
    kafka_errors.AuthorizationError,
    kafka_errors.FencedInstanceIdError,
    kafka_errors.InvalidConfigurationError,
    kafka_errors.KafkaConfigurationError,
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedCodecError,
    kafka_errors.UnsupportedCompressionTypeError,
    kafka_errors.UnsupportedForMessageFormatError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.UnsupportedVersionError,
)
"""Errors that come again however often the call is repeated; any other may pass."""

Class = TypeVar("Class", bound=type)


def convert_error(error: kafka_errors.KafkaError) -> StreamlearnError:
    """Return our error for one of the client's: a `RetryableError` when it may pass, else a `StopError`."""
    text = str(error)
    if isinstance(error, kafka_errors.ProducerFencedError):
        return FencedError(text)
    return StopError(text) if isinstance(error, _PERMANENT) else RetryableError(text)


def raises_no_client_errors(decorated: Class) -> Class:
    """Convert the client's errors that leave the constructor or a public method of a class.

    A class decorator covers the methods that are added later as well.
    """
    for name, method in list(vars(decorated).items()):
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            setattr(decorated, name, _converting(method))
    return decorated


def _converting(method: Any) -> Any:
    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except kafka_errors.KafkaError as error:
            raise convert_error(error) from error

    return call
