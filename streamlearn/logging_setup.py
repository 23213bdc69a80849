"""Logs on standard error: text for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import time

from streamlearn.settings.settings import LogSettings

CLIENT_SECONDS = 10.0

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time in UTC, level, logger, message, and the error if there is one."""

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


class ClientFilter(logging.Filter):
    """Lets what the Kafka client says at one place of its code through once in ten seconds, with a count of the rest.

    While brokers are away it tries to connect many times a second, and says so each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kafka"):
            return True
        place = (record.pathname, record.lineno)
        since, withheld = self._last.get(place, (float("-inf"), 0))
        if record.created - since < CLIENT_SECONDS:
            self._last[place] = (since, withheld + 1)
            return False
        self._last[place] = (record.created, 0)
        if withheld:
            record.msg = f"{record.getMessage()} ({withheld} more like this in {record.created - since:.0f} s)"
            record.args = ()
        return True


def configure_logs(settings: LogSettings) -> None:
    """Send logs to standard error at the level of the settings; the client libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if settings.json_lines else logging.Formatter(_FORMAT)
    handler.setFormatter(formatter)
    handler.addFilter(ClientFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in ("kafka", "numba", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
