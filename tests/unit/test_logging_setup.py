"""Logging: format, level, and rate limit for the Kafka client."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from streamlearn.logging_setup import configure_logging
from streamlearn.settings.loading import load_settings


@pytest.fixture(autouse=True)
def _restore_loggers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kafka", "numba", "uvicorn", "asyncio")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


def _configure(*overrides: str) -> None:
    configure_logging(load_settings(None, overrides, {}).settings.log)


def test_json_logs_have_one_object_per_line_with_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("log.json=true")
    logger = logging.getLogger("streamlearn.test")
    logger.info("read %d\nrecords", 3)
    try:
        raise ValueError("gone")
    except ValueError:
        logger.exception("failed")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("info", "streamlearn.test", "read 3\nrecords")
    assert first["time"].endswith("Z")
    assert second["level"] == "error"
    assert "ValueError: gone" in second["error"]


def test_less_severe_messages_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("log.level=warning")
    logging.getLogger("streamlearn.test").info("hidden")
    logging.getLogger("streamlearn.test").warning("shown")
    assert "WARNING streamlearn.test: shown" in capsys.readouterr().err


def test_the_client_logs_only_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    _configure("log.level=debug")
    logging.getLogger("kafka.client").info("hidden")
    logging.getLogger("kafka.client").warning("shown")
    output = capsys.readouterr().err
    assert "shown" in output
    assert "hidden" not in output


def test_configuring_twice_logs_every_message_once(capsys: pytest.CaptureFixture[str]) -> None:
    _configure()
    _configure()
    logging.getLogger("streamlearn.test").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_repeated_messages_of_the_client_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    _configure()
    (handler,) = logging.getLogger().handlers
    for second in [0, 1, 9, 10.5, 11]:
        for name, line in (("kafka.net", 1), ("kafka.net", 2), ("streamlearn.test", 1)):
            record = logging.LogRecord(name, logging.ERROR, "code.py", line, "lost %s", (f"{name}:{line}",), None)
            record.created = 1_000.0 + second
            handler.handle(record)
    output = capsys.readouterr().err
    assert output.count("lost streamlearn.test:1") == 5
    for line in (1, 2):
        assert output.count(f"lost kafka.net:{line}") == 2
        assert f"lost kafka.net:{line} (2 more like this in 10 s)" in output
