"""Logs on standard error: text for people, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import time

from streamlearn.settings.model import LogSettings

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


def configure_logs(settings: LogSettings) -> None:
    """Send logs to standard error at the level of the settings; the client libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if settings.json_lines else logging.Formatter(_FORMAT)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in ("kafka", "numba", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
