"""Commands that need a broker when none answers: one line with the address and what to do, and status 1."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest


@pytest.fixture
def address() -> str:
    """Return an address on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


def test_one_line_names_the_address_and_what_to_do(address: str) -> None:
    setting = ["--set", f"kafka.bootstrap_servers={address}"]
    commands = {
        "kafka.bootstrap_servers": [
            ["topics", "check", *setting],
            ["topics", "create", *setting],
            ["upgrade", *setting],
            ["snapshot", "rollback", "5", *setting],
        ],
        "--bootstrap": [["produce", "synthetic:drifting", "--topic", "t", "--limit", "5", "--bootstrap", address]],
    }
    processes = [
        (option, subprocess.Popen([sys.executable, "-m", "streamlearn", *command], stderr=subprocess.PIPE, text=True))
        for option, of_option in commands.items()
        for command in of_option
    ]
    for option, process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1, errors
        (line,) = errors.splitlines()
        assert line.startswith(f"streamlearn: no broker answers at {address} ")
        assert "start it, or " in line
        assert option in line


def test_an_invalid_address_is_a_usage_error() -> None:
    for command in (
        ["topics", "check", "--set", "kafka.bootstrap_servers=host:port"],
        ["produce", "synthetic:drifting", "--topic", "t", "--bootstrap", "host:port"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "streamlearn", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert "'host:port' is not an address" in line
