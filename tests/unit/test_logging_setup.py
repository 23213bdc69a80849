"""Logging: format, level, and rate limit for the Kafka client."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from streamlearn.logging_setup import MAX_CLIENT_KINDS, ClientRateLimitFilter, configure_logging
from streamlearn.settings.loading import load_settings


@pytest.fixture(autouse=True)
def _restore_loggers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("kafka", "numba", "uvicorn", "asyncio")}
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    with warnings.catch_warnings():
        yield
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
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


class _Client:
    """The logger of the client behind a rate limit, with a clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.limit = ClientRateLimitFilter(lambda: self.now)

    def log(self, text: str, *values: object, line: int = 1, name: str = "kafka.net") -> str | None:
        """Return what is logged of a message, None for nothing."""
        record = logging.LogRecord(name, logging.ERROR, "code.py", line, text, values, None)
        return record.getMessage() if self.limit.filter(record) else None


def test_the_client_logs_each_kind_of_message_once_per_interval() -> None:
    client = _Client()
    lost = "<Connection node_id=%d at 0x7f%x>: lost, %.2f s"
    assert client.log(lost, 1, 0xAB, 0.5) == "<Connection node_id=1 at 0x7fab>: lost, 0.50 s"
    for second in range(1, 60):
        client.now = 1_000.0 + second
        assert client.log(lost, second, second, second / 7) is None
        assert client.log("kept", name="streamlearn.test") == client.log("kept", name="kafkaesque") == "kept"
    assert client.log(lost, 1, 0xAB, 0.5, line=2) is not None
    client.now = 1_060.0
    assert (
        client.log(lost, 2, 0xCD, 9.0) == "<Connection node_id=2 at 0x7fcd>: lost, 9.00 s (59 more like this in 60 s)"
    )
    assert client.log(lost, 2, 0xCD, 9.0) is None
    client.now = 1_130.0
    assert client.log(lost, 3, 0xEF, 1.0) == "<Connection node_id=3 at 0x7fef>: lost, 1.00 s (1 more like this in 70 s)"


def test_another_reason_at_the_same_line_of_the_client_is_logged_at_once() -> None:
    client = _Client()
    assert client.log("failed: %s", "111 ECONNREFUSED") == "failed: 111 ECONNREFUSED"
    assert client.log("failed: %s", "111 ECONNREFUSED") is None
    assert client.limit.filter(logging.LogRecord("kafka", logging.ERROR, "a.py", 1, "%d", ("x",), None))
    assert client.log("failed: %s", "SaslAuthenticationFailedError") == "failed: SaslAuthenticationFailedError"


def test_a_bounded_number_of_kinds_is_remembered() -> None:
    client = _Client()
    for number in range(3 * MAX_CLIENT_KINDS):
        assert client.log("topic %s", "a" * number) is not None
        assert client.log("often") is None or number == 0
    assert len(client.limit._last) == MAX_CLIENT_KINDS


def test_the_rate_limit_is_in_effect_for_all_levels_and_threads(capsys: pytest.CaptureFixture[str]) -> None:
    _configure()
    logger = logging.getLogger("kafka.cluster")
    threads = [
        threading.Thread(target=lambda: [logger.warning("No node, retry in %d ms", n) for n in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert capsys.readouterr().err.count("No node") == 1


def test_text_logs_have_one_line_for_a_message_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    _configure()
    logger = logging.getLogger("streamlearn.test")
    logger.warning("bad record %s", "\x1b[2J\x9b\u202e\n2026-01-01 CRITICAL forged")
    try:
        raise ValueError("gone\x1b[2J")
    except ValueError:
        logger.exception("failed")
    output = capsys.readouterr().err
    first, second, *trace = output.splitlines()
    assert first.endswith("bad record \\u001b[2J\\u009b\\u202e\\n2026-01-01 CRITICAL forged")
    assert second.endswith("ERROR   streamlearn.test: failed")
    assert (trace[0], trace[-1]) == ("Traceback (most recent call last):", "ValueError: gone\\u001b[2J")
    assert all(character.isprintable() or character == "\n" for character in output)


EVERY_SOURCE_OF_TEXT = r"""
import logging, sys, threading, warnings
from streamlearn.logging_setup import MAX_CLIENT_KINDS, ClientRateLimitFilter, configure_logging
from streamlearn.settings.settings import LogSettings

configure_logging(LogSettings.model_validate({"json": True}))
logger = logging.getLogger("streamlearn.test")
logger.warning("caf\u00e9 \ud800 \x1b[31m\x9b \u2028 %s", "\x00")
logger.warning("%d is not a number", "x")
logger.warning("with its stack", stack_info=True)
warnings.warn("old", DeprecationWarning)

class Unraisable:
    def __del__(self):
        raise ValueError("in a finalizer")

del [Unraisable()][0]

def fail():
    raise ValueError("in a thread\nwith a second line")

thread = threading.Thread(target=fail, name="worker-thread")
thread.start()
thread.join()

def fail_deep(depth):
    raise ValueError("last") if depth == 0 else fail_deep(depth - 1)

fail_deep(3)
"""


def test_every_line_is_json_whatever_writes_it() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", EVERY_SOURCE_OF_TEXT],
        # An encoding in which the text cannot be written as it is.
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.decode("ascii").splitlines()]
    messages = [one["message"] for one in found]
    assert messages[0] == "caf\u00e9 \ud800 \x1b[31m\x9b \u2028 \x00"
    assert messages[1].startswith("'%d is not a number' with ('x',) (TypeError")
    assert "Stack (most recent call last)" in found[2]["stack"]
    assert "DeprecationWarning: old" in messages[3]
    assert "in a finalizer" in found[4]["error"]
    assert messages[5] == "uncaught ValueError in thread worker-thread: in a thread\nwith a second line"
    assert found[5]["error"].startswith("Traceback (most recent call last)")
    assert (messages[6], found[6]["level"]) == ("uncaught ValueError: last", "critical")
    assert "in fail_deep" in found[6]["error"]
    assert len(found) == 7


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["kafka.grup_id=x", "http.port=-1"], 2, "kafka.group_id"),
        (["http.host=192.0.2.1"], 2, "http.host = 192.0.2.1"),
    ],
)
def test_the_last_line_of_a_worker_that_cannot_start_is_json(arguments: list[str], status: int, expected: str) -> None:
    settings = [part for text in ["log.json=true", *arguments] for part in ("--set", text)]
    done = subprocess.run(
        [sys.executable, "-m", "streamlearn", "run", *settings], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert found[-1]["level"] == "critical"
    assert any(expected in one["message"] for one in found)
