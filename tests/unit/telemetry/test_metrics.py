"""Metrics and health as Prometheus and an orchestrator read them."""

from __future__ import annotations

import math
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.errors import UsageError
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.telemetry.http_server import LONGEST_HEAD_BYTES, MOST_CONNECTIONS, ServiceServer
from streamlearn.telemetry.metrics import REASONS, ServiceMetrics
from tests.certificates import issue
from tests.environment import is_required


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(CollectorRegistry())


def test_the_exposition_parses_and_every_name_has_the_prefix(metrics: ServiceMetrics) -> None:
    metrics.set_measures({"subset_accuracy": 0.5, "micro_f1": None}, {"subset_accuracy": 0.25})
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    assert families
    assert all(family.name.startswith("streamlearn_") for family in families)
    assert metrics.registry.get_sample_value("streamlearn_window_measure", {"measure": "subset_accuracy"}) == 0.5
    assert sum(len(family.samples) for family in families) < 200, "no series for every label or feature"


def test_an_unknown_reason_counts_as_other(metrics: ServiceMetrics) -> None:
    metrics.count_reason("never heard of")
    assert metrics.registry.get_sample_value("streamlearn_dead_letters_total", {"reason": "other"}) == 1
    assert set(metrics.dead_letters) == set(REASONS)


def test_measures_say_nothing_before_there_are_any(metrics: ServiceMetrics) -> None:
    value = metrics.registry.get_sample_value("streamlearn_whole_measure", {"measure": "hamming_loss"})
    assert value is not None
    assert math.isnan(value)


def test_two_workers_in_one_process_do_not_clash() -> None:
    first, second = (ServiceMetrics(CollectorRegistry()) for _ in range(2))
    first.records["predicted"].inc(3)
    assert second.registry.get_sample_value("streamlearn_records_total", {"outcome": "predicted"}) == 0


def test_promtool_finds_no_fault(metrics: ServiceMetrics) -> None:
    if shutil.which("promtool") is None:
        if is_required("STREAMLEARN_REQUIRE_PROMTOOL"):
            pytest.fail("promtool is missing: install Debian's package prometheus")
        pytest.skip("promtool is missing: install Debian's package prometheus")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(metrics.registry), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(clock=clock)


@pytest.fixture
def instruments(metrics: ServiceMetrics) -> MetricsObserver:
    published: list[OutputRecord] = []
    return MetricsObserver(metrics, Settings(), published.append)


@pytest.fixture
def server(metrics: ServiceMetrics, watchdog: Watchdog, instruments: MetricsObserver) -> Iterator[ServiceServer]:
    service = ServiceServer("127.0.0.1", 0, metrics.registry, watchdog.problem, instruments.ready, instruments.describe)
    service.start()
    yield service
    service.close()


def test_healthy_while_the_loop_turns_idle_or_not(server: ServiceServer, watchdog: Watchdog, clock: Clock) -> None:
    watchdog.beat()
    assert get(server.url + "/healthz") == (200, "ok")
    clock.now += 29
    assert get(server.url + "/healthz")[0] == 200
    clock.now += 2
    status, text = get(server.url + "/healthz")
    assert status == 503
    assert "31 s" in text


def test_an_overdue_transaction_is_not_healthy(server: ServiceServer, watchdog: Watchdog, clock: Clock) -> None:
    with watchdog.transaction():
        clock.now += 26
        status, text = get(server.url + "/healthz")
    assert status == 503
    assert "transaction" in text


def test_ready_with_a_role_only(server: ServiceServer, instruments: MetricsObserver) -> None:
    assert get(server.url + "/readyz")[0] == 503
    instruments.on_role("restoring", {})
    assert get(server.url + "/readyz") == (503, "restoring")
    for role in ("active", "stand-by"):
        instruments.on_role(role, {})
        assert get(server.url + "/readyz") == (200, role)
    status, text = get(server.url + "/metrics")
    assert status == 200
    assert 'streamlearn_role{role="stand-by"} 1.0' in text


def test_a_taken_port_is_an_error_of_use(server: ServiceServer, metrics: ServiceMetrics) -> None:
    with pytest.raises(UsageError, match=r"http\.port"):
        ServiceServer("127.0.0.1", server.port, metrics.registry, lambda: None, lambda: None)


TOKEN = "let-me-read"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an authority, and a certificate and key called service."""
    folder = tmp_path_factory.mktemp("tls")
    issue(folder, "service")
    return folder


def asked(port: int, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Return everything that the server sends before it ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        connection = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        answer = b""
        try:
            connection.sendall(request)
            while data := connection.recv(65_536):
                answer += data
        except ConnectionError:
            pass
        return answer


def test_metrics_ask_for_the_token_over_tls_and_health_gives_no_reasons_away(
    metrics: ServiceMetrics, tls: Path
) -> None:
    files = {"certificate_file": str(tls / "service.pem"), "key_file": str(tls / "service-key.pem")}
    service = ServiceServer("127.0.0.1", 0, metrics.registry, lambda: "why", lambda: None, token=TOKEN, **files)
    service.start()
    try:
        assert service.url == f"https://127.0.0.1:{service.port}"
        trusting = ssl.create_default_context(cafile=str(tls / "ca.pem"))

        def get(path: str, given: str = "") -> bytes:
            head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            head += f"authorization: {given}\r\n" if given else ""
            return asked(service.port, (head + "\r\n").encode(), trusting)

        assert get("/metrics").startswith(b"HTTP/1.1 401 ")
        for wrong in ("Bearer let-me-rea", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}\xe9"):
            assert get("/metrics", wrong).startswith(b"HTTP/1.1 401 "), wrong
        answer = get("/metrics", f"Bearer {TOKEN}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"streamlearn_" in answer
        assert get("/readyz").endswith(b"\r\n\r\nok")
        assert get("/healthz").startswith(b"HTTP/1.1 503 ")
        assert get("/healthz").endswith(b"\r\n\r\nnot ok")
        assert get("/healthz", f"Bearer {TOKEN}").endswith(b"\r\n\r\nwhy")
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(service.port, b"", ssl.create_default_context())
        assert b"HTTP/1.1 200" not in asked(service.port, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    finally:
        service.close()


def test_a_certificate_that_cannot_be_used_is_an_error_of_use(metrics: ServiceMetrics, tls: Path) -> None:
    for certificate, key in (("none.pem", ""), ("service.pem", ""), ("service.pem", "ca-key.pem")):
        files = {"certificate_file": str(tls / certificate), "key_file": str(tls / key) if key else ""}
        with pytest.raises(UsageError, match=r"^http\.certificate_file = .*as PEM"):
            ServiceServer("127.0.0.1", 0, metrics.registry, lambda: None, lambda: None, **files)


def test_a_request_is_bounded(server: ServiceServer) -> None:
    get_line = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    assert asked(server.port, get_line + b"\r\n").startswith(b"HTTP/1.1 200 ")
    body = asked(server.port, get_line + b"content-length: 5\r\n\r\nhello")
    assert body.startswith(b"HTTP/1.1 413 ")
    chunked = asked(server.port, get_line + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    assert chunked.startswith(b"HTTP/1.1 413 ")
    endless = asked(server.port, get_line + b"x: " + b"y" * (32 * LONGEST_HEAD_BYTES))
    assert endless.startswith(b"HTTP/1.1 400 ") or not endless
    full = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(MOST_CONNECTIONS)]
    try:
        assert asked(server.port, get_line + b"\r\n").startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in full:
            connection.close()
