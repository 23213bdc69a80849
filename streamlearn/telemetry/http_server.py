"""HTTP server for Prometheus and orchestrators: /metrics, /healthz, /readyz."""

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
from streamlearn.printable import printable
from streamlearn.settings.certificates import load_certificate

STOP_SECONDS = 10.0
"""Maximum time that `ServiceServer.close` waits for the server thread."""
MAX_HEADER_BYTES = 16 << 10
MAX_CONNECTIONS = 64


class _RefuseBodies:
    """ASGI middleware that refuses requests with a body without reading it: no endpoint takes one."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
            refusal = PlainTextResponse("requests must not have a body\n", 413, headers={"connection": "close"})
            await refusal(scope, receive, send)
        else:
            await self._application(scope, receive, send)


class ServiceServer:
    """Serves metrics, health and readiness over HTTP, in a thread of its own.

    Parameters
    ----------
    host, port:
        Address to listen on; port 0 is any free port.
    registry:
        The metrics that /metrics returns.
    health, ready:
        Return None if the service is healthy or ready, else the reason why it is not.
    describe:
        Returns the text of /readyz when the service is ready.
    certificate_file, key_file:
        PEM files for TLS; without a certificate the server speaks plain HTTP.
    token:
        Bearer token that /metrics requires; empty: none. /healthz and /readyz answer everyone, since the probes of
        orchestrators have no secrets, but they give the reason or role only with the token.

    Attributes
    ----------
    port:
        The port that the server listens on.
    url:
        Base URL of the server.

    Raises
    ------
    UsageError
        When the server cannot listen on the address, or the certificate cannot be used.
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
                "choose another port, 0 for any free port, or set http.enabled = false"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        url_host = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if certificate_file else ''}://{url_host}:{self.port}"

        def is_authorized(request: Request) -> bool:
            header = request.headers.get("authorization", "")
            return not token or hmac.compare_digest(header.encode("latin-1"), f"Bearer {token}".encode())

        def metrics(request: Request) -> Response:
            if not is_authorized(request):
                return PlainTextResponse("a bearer token is required\n", 401, headers={"www-authenticate": "Bearer"})
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

        def probe(check: Callable[[], str | None], ok_text: Callable[[], str]) -> Callable[[Request], Response]:
            def respond(request: Request) -> Response:
                problem = check()
                if problem is None:
                    return PlainTextResponse(printable(ok_text()) if is_authorized(request) else "ok")
                return PlainTextResponse(printable(problem) if is_authorized(request) else "not ok", status_code=503)

            return respond

        def index(request: Request) -> Response:
            return PlainTextResponse("streamlearn: /metrics /healthz /readyz\n")

        application = Starlette(
            routes=[
                Route("/", index),
                Route("/metrics", metrics),
                Route("/healthz", probe(health, lambda: "ok")),
                Route("/readyz", probe(ready, describe)),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                _RefuseBodies(application),
                # Without a configuration of its own, its messages go where all others go, in the same form.
                log_config=None,
                access_log=False,
                lifespan="off",
                http="h11",
                ws="none",
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                limit_concurrency=MAX_CONNECTIONS,
                ssl_certfile=certificate_file or None,
                ssl_keyfile=key_file or None,
                # Encrypted keys are refused above; an empty password keeps OpenSSL from asking on the terminal.
                ssl_keyfile_password="" if certificate_file else None,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="http", daemon=True
        )

    def start(self) -> None:
        """Start to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving, within `STOP_SECONDS`."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        self._socket.close()
