"""The endpoint for Prometheus and the orchestrator: /metrics, /healthz, /readyz."""

from __future__ import annotations

import hmac
import socket
import ssl
import threading
from collections.abc import Callable

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamlearn.errors import UsageError
from streamlearn.settings.certificates import load_certificate

START_SECONDS = 10.0
LONGEST_HEAD_BYTES = 16 << 10
MOST_CONNECTIONS = 64


class _NoBodies:
    """Refuses requests with a body, unread: none of ours has one."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            refusal = PlainTextResponse("no request here has a body\n", 413, headers={"connection": "close"})
            await refusal(scope, receive, send)
        else:
            await self._application(scope, receive, send)


class ServiceServer:
    """Serves from a thread of its own.

    Parameters
    ----------
    host, port:
        Where to listen; port 0 is any free one.
    registry:
        What /metrics shows.
    health, ready:
        Return None when all is well, else what is wrong.
    describe:
        Returns what /readyz says when all is well.
    certificate_file, key_file:
        Serve TLS with these PEM files; without a certificate, plain HTTP.
    token:
        What a reader of /metrics must show as a bearer token; empty: nothing. Whether the service is healthy and ready
        is told to everybody, since probes of orchestrators hold no secrets, but why it is not only with the token.

    Raises
    ------
    UsageError
        When the address cannot be listened on, or the certificate cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Callable[[], str | None],
        ready: Callable[[], str | None],
        describe: Callable[[], str] = lambda: "ok",
        *,
        certificate_file: str = "",
        key_file: str = "",
        token: str = "",
    ) -> None:
        if certificate_file:
            load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "http", certificate_file, key_file)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            raise UsageError(
                f"http.host = {host}, http.port = {port}: {error.strerror or error}; "
                "choose another port, 0 for any free one, or http.enabled = false"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if certificate_file else ''}://{shown}:{self.port}"

        def may_read(request: Request) -> bool:
            given = request.headers.get("authorization", "")
            return not token or hmac.compare_digest(given.encode("latin-1"), f"Bearer {token}".encode())

        def metrics(request: Request) -> Response:
            if not may_read(request):
                return PlainTextResponse("a bearer token is needed\n", 401, headers={"www-authenticate": "Bearer"})
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

        def state(check: Callable[[], str | None], well: Callable[[], str]) -> Callable[[Request], Response]:
            def answer(request: Request) -> Response:
                problem = check()
                if problem is None:
                    return PlainTextResponse(well() if may_read(request) else "ok")
                return PlainTextResponse(problem if may_read(request) else "not ok", status_code=503)

            return answer

        def index(request: Request) -> Response:
            return PlainTextResponse("streamlearn: /metrics /healthz /readyz\n")

        application = Starlette(
            routes=[
                Route("/", index),
                Route("/metrics", metrics),
                Route("/healthz", state(health, lambda: "ok")),
                Route("/readyz", state(ready, describe)),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                _NoBodies(application),
                log_level="warning",
                access_log=False,
                lifespan="off",
                http="h11",
                ws="none",
                h11_max_incomplete_event_size=LONGEST_HEAD_BYTES,
                limit_concurrency=MOST_CONNECTIONS,
                ssl_certfile=certificate_file or None,
                ssl_keyfile=key_file or None,
                # An encrypted key was refused; OpenSSL must not ask for a password on the terminal.
                ssl_keyfile_password="" if certificate_file else None,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving, within a bounded time."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(START_SECONDS)
        self._socket.close()
