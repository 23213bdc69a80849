"""Logging to standard error, as text or as one JSON object per line."""

from __future__ import annotations

import json
import logging
import sys
import time

from streamlearn.settings.settings import LogSettings

CLIENT_INTERVAL_SECONDS = 10.0
"""Minimum time between two messages from the same line of code of the Kafka client."""

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time in UTC, level, logger, message, and the error if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class ClientRateLimitFilter(logging.Filter):
    """Passes one message per `CLIENT_INTERVAL_SECONDS` from each line of code of the Kafka client, and counts the rest.

    While brokers are unavailable the client retries many times per second and logs each attempt.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kafka"):
            return True
        call_site = (record.pathname, record.lineno)
        last_time, suppressed = self._last.get(call_site, (float("-inf"), 0))
        if record.created - last_time < CLIENT_INTERVAL_SECONDS:
            self._last[call_site] = (last_time, suppressed + 1)
            return False
        self._last[call_site] = (record.created, 0)
        if suppressed:
            record.msg = f"{record.getMessage()} ({suppressed} more like this in {record.created - last_time:.0f} s)"
            record.args = ()
        return True


def configure_logging(settings: LogSettings) -> None:
    """Configure the root logger for standard error; libraries log only warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if settings.json_lines else logging.Formatter(_FORMAT)
    handler.setFormatter(formatter)
    handler.addFilter(ClientRateLimitFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in ("kafka", "numba", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
