"""HTTP server: metrics, health and readiness as Prometheus and orchestrators read them, TLS, tokens and limits."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.errors import UsageError
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.telemetry.http_server import MAX_CONNECTIONS, MAX_HEADER_BYTES, ServiceServer
from streamlearn.telemetry.metrics import ServiceMetrics
from tests.certificates import issue


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(CollectorRegistry())


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
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
def calls(clock: Clock) -> ClientCalls:
    return ClientCalls(clock)


@pytest.fixture
def watchdog(clock: Clock, calls: ClientCalls) -> Watchdog:
    return Watchdog(calls=calls, clock=clock)


@pytest.fixture
def observer(metrics: ServiceMetrics) -> MetricsObserver:
    published: list[OutputRecord] = []
    return MetricsObserver(metrics, Settings(), published.append)


@pytest.fixture
def server(metrics: ServiceMetrics, watchdog: Watchdog, observer: MetricsObserver) -> Iterator[ServiceServer]:
    service = ServiceServer("127.0.0.1", 0, metrics.registry, watchdog.problem, observer.ready, observer.describe)
    service.start()
    yield service
    service.close()


def test_healthy_while_the_loop_turns(server: ServiceServer, watchdog: Watchdog, clock: Clock) -> None:
    watchdog.beat()
    assert get(server.url + "/healthz") == (200, "ok")
    clock.now += 29
    assert get(server.url + "/healthz")[0] == 200
    clock.now += 2
    status, text = get(server.url + "/healthz")
    assert status == 503
    assert "31 s" in text


def test_healthy_while_it_starts_however_long_that_takes(
    server: ServiceServer, observer: MetricsObserver, clock: Clock
) -> None:
    clock.now += 1_000
    assert get(server.url + "/healthz") == (200, "ok")
    observer.on_start_step("compiling kernels: 57 of 235")
    assert get(server.url + "/readyz") == (503, "starting: compiling kernels: 57 of 235")
    observer.on_start_step("")
    assert get(server.url + "/readyz") == (503, "starting: waiting for an assignment of group streamlearn")


def test_unhealthy_during_an_overdue_call_and_healthy_while_calls_end(
    server: ServiceServer, calls: ClientCalls, clock: Clock
) -> None:
    with calls.call("KafkaProducer.flush"):
        clock.now += 26
        status, text = get(server.url + "/healthz")
    assert status == 503
    assert "KafkaProducer.flush for 26 s" in text
    for _ in range(4):
        # The loop waits for brokers: its calls fail one after the other.
        clock.now += 20
        assert get(server.url + "/healthz") == (200, "ok")
        with calls.call("KafkaConsumer"):
            clock.now += 10


def test_ready_only_with_a_role(server: ServiceServer, observer: MetricsObserver) -> None:
    assert get(server.url + "/readyz")[0] == 503
    observer.on_role("restoring", {})
    assert get(server.url + "/readyz") == (503, "restoring")
    for role in ("active", "stand-by"):
        observer.on_role(role, {})
        assert get(server.url + "/readyz") == (200, role)
    status, text = get(server.url + "/metrics")
    assert status == 200
    assert 'streamlearn_role{role="stand-by"} 1.0' in text


def test_what_the_server_logs_goes_where_all_logs_go(server: ServiceServer, caplog: pytest.LogCaptureFixture) -> None:
    assert b" 400 " in send(server.port, b"not http\r\n\r\n")
    assert "Invalid HTTP request" in caplog.text


def test_a_port_in_use_is_a_usage_error(server: ServiceServer, metrics: ServiceMetrics) -> None:
    with pytest.raises(UsageError, match=r"http\.port"):
        ServiceServer("127.0.0.1", server.port, metrics.registry, lambda: None, lambda: None)


TOKEN = "let-me-read"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate authority, and a certificate and key named service."""
    folder = tmp_path_factory.mktemp("tls")
    issue(folder, "service")
    return folder


def send(port: int, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Send a request and return everything that the server sends before it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        connection = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        response = b""
        try:
            connection.sendall(request)
            while data := connection.recv(65_536):
                response += data
        except ConnectionError:
            pass
        return response


def test_metrics_require_the_token_over_tls_and_health_hides_reasons_without_it(
    metrics: ServiceMetrics, tls: Path
) -> None:
    files = {"certificate_file": str(tls / "service.pem"), "key_file": str(tls / "service-key.pem")}
    service = ServiceServer("127.0.0.1", 0, metrics.registry, lambda: "why", lambda: None, token=TOKEN, **files)
    service.start()
    try:
        assert service.url == f"https://127.0.0.1:{service.port}"
        trusting = ssl.create_default_context(cafile=str(tls / "ca.pem"))

        def get(path: str, authorization: str = "") -> bytes:
            head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            head += f"authorization: {authorization}\r\n" if authorization else ""
            return send(service.port, (head + "\r\n").encode(), trusting)

        assert get("/metrics").startswith(b"HTTP/1.1 401 ")
        for wrong in ("Bearer let-me-rea", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}\xe9"):
            assert get("/metrics", wrong).startswith(b"HTTP/1.1 401 "), wrong
        response = get("/metrics", f"Bearer {TOKEN}")
        assert response.startswith(b"HTTP/1.1 200 ")
        assert b"streamlearn_" in response
        assert get("/readyz").endswith(b"\r\n\r\nok")
        assert get("/healthz").startswith(b"HTTP/1.1 503 ")
        assert get("/healthz").endswith(b"\r\n\r\nnot ok")
        assert get("/healthz", f"Bearer {TOKEN}").endswith(b"\r\n\r\nwhy")
        with pytest.raises(ssl.SSLCertVerificationError):
            send(service.port, b"", ssl.create_default_context())
        assert b"HTTP/1.1 200" not in send(service.port, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    finally:
        service.close()


def test_an_unusable_certificate_is_a_usage_error(metrics: ServiceMetrics, tls: Path) -> None:
    for certificate, key in (("none.pem", ""), ("service.pem", ""), ("service.pem", "ca-key.pem")):
        files = {"certificate_file": str(tls / certificate), "key_file": str(tls / key) if key else ""}
        with pytest.raises(UsageError, match=r"^http\.certificate_file = .*as PEM"):
            ServiceServer("127.0.0.1", 0, metrics.registry, lambda: None, lambda: None, **files)


def test_requests_are_bounded(server: ServiceServer) -> None:
    get_line = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    assert send(server.port, get_line + b"\r\n").startswith(b"HTTP/1.1 200 ")
    body = send(server.port, get_line + b"content-length: 5\r\n\r\nhello")
    assert body.startswith(b"HTTP/1.1 413 ")
    chunked = send(server.port, get_line + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    assert chunked.startswith(b"HTTP/1.1 413 ")
    endless = send(server.port, get_line + b"x: " + b"y" * (32 * MAX_HEADER_BYTES))
    assert endless.startswith(b"HTTP/1.1 400 ") or not endless
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(MAX_CONNECTIONS)]
    try:
        assert send(server.port, get_line + b"\r\n").startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in connections:
            connection.close()
