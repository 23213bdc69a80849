"""The endpoint for Prometheus and the orchestrator: /metrics, /healthz, /readyz."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamlearn.errors import UsageError

START_SECONDS = 10.0


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

    Raises
    ------
    UsageError
        When the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Callable[[], str | None],
        ready: Callable[[], str | None],
        describe: Callable[[], str] = lambda: "ok",
    ) -> None:
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
        self.url = f"http://{shown}:{self.port}"

        def metrics(request: Request) -> Response:
            return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

        def state(check: Callable[[], str | None], well: Callable[[], str]) -> Callable[[Request], Response]:
            def answer(request: Request) -> Response:
                problem = check()
                return PlainTextResponse(problem or well(), status_code=200 if problem is None else 503)

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
            uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off")
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
