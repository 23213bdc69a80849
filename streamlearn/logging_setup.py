"""Logging to standard error, as text or as one JSON object per line."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from streamlearn.printable import printable
from streamlearn.settings.settings import LogSettings

CLIENT_INTERVAL_SECONDS = 60.0
"""Least time between two messages of the same kind from the Kafka client."""
MAX_CLIENT_KINDS = 1_000
"""Kinds of messages of the client that are remembered, those of the latest messages: some name topics and workers."""

_logger = logging.getLogger(__name__)
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)*")
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def _message_of(record: logging.LogRecord) -> str:
    """Return the message; a fault in the call must not lose it, nor break the line or the caller."""
    try:
        return record.getMessage()
    except Exception as error:
        return f"{record.msg!r} with {record.args!r} ({type(error).__name__}: {error})"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time in UTC, level, logger, message, and the error if there is one.

    The line is ASCII, so that it is JSON in every encoding of standard error.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return json.dumps(fields)


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text, and its traceback as more, with control characters escaped.

    So nothing in a message can move a terminal's cursor or look like another record.
    """

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name of the base class)
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return printable(super().formatException(ei), keep="\n")

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return printable(super().formatStack(stack_info), keep="\n")


class ClientRateLimitFilter(logging.Filter):
    """Passes one message of each kind per `CLIENT_INTERVAL_SECONDS` from the Kafka client, and counts the rest.

    While brokers are unavailable the client retries many times per second and logs each attempt in several places. Two
    messages are of one kind when the same line of code writes them and they differ in numbers only, such as ports,
    waiting times and addresses of objects. So another reason of the same failure is seen at once.

    Parameters
    ----------
    monotonic:
        Monotonic clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != "kafka":
            return True
        text = _message_of(record)
        kind = (record.pathname, record.lineno, _NUMBER.sub("#", text))
        with self._lock:
            moment = self._monotonic()
            last_time, suppressed = self._last.pop(kind, (float("-inf"), 0))
            if moment - last_time < CLIENT_INTERVAL_SECONDS:
                self._last[kind] = (last_time, suppressed + 1)
                return False
            self._last[kind] = (moment, 0)
            if len(self._last) > MAX_CLIENT_KINDS:
                del self._last[next(iter(self._last))]
        if suppressed:
            record.msg = f"{text} ({suppressed} more like this in {moment - last_time:.0f} s)"
            record.args = ()
        return True


def configure_logging(settings: LogSettings) -> None:
    """Configure the root logger for standard error; libraries log only warnings and errors.

    Warnings and uncaught errors, of every thread, are logged too: Python prints them as text otherwise.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if settings.json_lines else TextFormatter()
    handler.setFormatter(formatter)
    handler.addFilter(ClientRateLimitFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in ("kafka", "numba", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable


def is_configured() -> bool:
    """Return whether `configure_logging` was called: uncaught errors are logged then."""
    return sys.excepthook is _log_uncaught


def logs_json() -> bool:
    """Return whether `configure_logging` has set one JSON object per line."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _logger.critical("uncaught %s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None and not isinstance(uncaught.exc_value, SystemExit):
        name = uncaught.thread.name if uncaught.thread is not None else "unknown"
        error = uncaught.exc_value
        _logger.critical("uncaught %s in thread %s: %s", type(error).__name__, name, error, exc_info=error)


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    error = unraisable.exc_value
    _logger.error("%s: %r", unraisable.err_msg or "ignored error", unraisable.object, exc_info=error)
