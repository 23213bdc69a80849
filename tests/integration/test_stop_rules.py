"""Stop rules that need a broker: it is away for too long, or a second worker has the same name."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from streamlearn.check.faults import find_warnings
from streamlearn.cli.statuses import NAME_TAKEN_STATUS
from tests.integration.brokers import start_brokers
from tests.integration.reference import settings_of
from tests.integration.service import Service

ROW = b'{"id": "%d", "x": {"a": 1}, "y": ["news"]}'


@pytest.mark.slow
def test_a_broker_that_stays_away_stops_an_idle_worker_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    broker = start_brokers(tmp_path_factory.mktemp("away"))
    service = Service(broker.address, f"t{uuid.uuid4().hex[:8]}", tmp_path)
    try:
        service.make_topics()
        service.produce_raw("instances", [ROW % number for number in range(20)])
        worker = service.start(more=["kafka.unavailable_timeout_seconds=3"])
        service.wait("answers", lambda: len(service.read("predictions")) == 20)
        broker.kill()
        assert worker.wait(timeout=90) == 1
        last = service.log_of("w0").strip().splitlines()[-1]
        assert last.startswith("streamlearn: ")
        assert "kafka.unavailable_timeout_seconds = 3" in last
        assert broker.start().returncode == 0
        service.produce_raw("instances", [ROW % number for number in range(20, 25)])
        service.command("run", "--stop-at-end", *service.settings())
        assert len(service.read("predictions")) == 25
    finally:
        service.kill_all()
        broker.discard()


def test_a_second_worker_with_the_same_name_ends_the_first(service: Service) -> None:
    service.make_topics()
    service.produce_raw("instances", [ROW % number for number in range(20)])
    first = service.start()
    service.wait("answers", lambda: len(service.read("predictions")) == 20)
    assert find_warnings(settings_of(service, labels=False)) == []
    # A process on another machine.
    node = textwrap.dedent("""
        import socket, sys
        socket.gethostname = lambda: "node-b"
        from streamlearn.cli.app import main
        main()
    """)
    second = subprocess.Popen([sys.executable, "-c", node, "run", *service.settings()])
    try:
        assert first.wait(timeout=90) == NAME_TAKEN_STATUS
        assert "streamlearn: another worker called w0 on node-b (127.0.0.1) has joined group" in service.log_of("w0")
        service.produce_raw("instances", [ROW % number for number in range(20, 25)])
        service.wait("answers of the second", lambda: len(service.read("predictions")) == 25)
        assert second.poll() is None
        checked = service.command("check", *service.settings())
        assert checked.stdout.endswith("\na worker can run\n")
        held = (
            f"warning: worker.name = w0 is held by a member of group {service.name} on node-b (127.0.0.1), and this is "
        )
        assert checked.stderr.startswith(held)
    finally:
        second.kill()
        second.wait()
