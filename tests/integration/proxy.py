"""A proxy in front of a broker that can be cut, go silent, or lose a chosen request or the response to it.

Every message is a length and a body. The body of a request begins with its ``api_key``, its version and a correlation
id, that of a response with the correlation id. The proxy replaces the broker's address in responses by its own, so that
clients connect to the proxy again.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

PRODUCE = 0
INIT_PRODUCER_ID = 22
END_TRANSACTION = 26


class Loss(NamedTuple):
    """From the ``after``-th request with an API key on, requests do not reach the broker, or answers not the client.

    It ends with the first request whose API key is ``until``.
    """

    api_key: int
    after: int
    what: Literal["request", "answer"]
    until: int


class Proxy:
    """Accepts clients on an address of its own, and forwards messages between them and the broker.

    Parameters
    ----------
    broker:
        The broker's address, on the loopback interface.
    """

    def __init__(self, broker: str) -> None:
        host, port = broker.split(":")
        self._broker = (host, int(port))
        self._listener = socket.create_server((host, 0))
        own = self._listener.getsockname()[1]
        self.address = f"{host}:{own}"
        self._addresses = (host.encode() + struct.pack(">i", int(port)), host.encode() + struct.pack(">i", own))
        self._replacements = [self._addresses]
        self._lock = threading.Lock()
        self._loss: Loss | None = None
        self._counts: dict[int, int] = {}
        self._open: set[socket.socket] = set()
        self.lost = 0
        self._closed = False
        self._is_cut = False
        self._forwarding = threading.Event()
        self._forwarding.set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def lose(self, loss: Loss) -> None:
        """Lose messages from now on."""
        with self._lock:
            self._loss = loss
            self._counts.clear()
            self.lost = 0

    def advertise(self, proxies: Sequence[Proxy]) -> None:
        """Replace the addresses of all brokers of a cluster by those of their proxies."""
        self._replacements = [proxy._addresses for proxy in proxies]

    def cut(self) -> None:
        """Reset every connection, and every new one, until `restore`."""
        self._is_cut = True
        self._end_connections()

    def silence(self) -> None:
        """Keep connections open but forward nothing until `restore`."""
        self._forwarding.clear()

    def restore(self) -> None:
        """End a cut or a silence."""
        self._is_cut = False
        self._forwarding.set()

    def close(self) -> None:
        """Reset every connection and accept no more."""
        self._closed = True
        self._forwarding.set()
        _end(self._listener)
        self._end_connections()

    def _end_connections(self) -> None:
        with self._lock:
            connections = list(self._open)
            self._open.clear()
        for each in connections:
            _end(each)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue
            try:
                if self._is_cut:
                    raise ConnectionError
                broker = socket.create_connection(self._broker, timeout=10)
            except OSError:
                _end(client)
                continue
            broker.settimeout(None)
            with self._lock:
                self._open |= {client, broker}
            lost_responses: set[int] = set()

            def convert_request(body: bytes, lost_responses: set[int] = lost_responses) -> bytes | None:
                return self._convert_request(body, lost_responses)

            def convert_response(body: bytes, lost_responses: set[int] = lost_responses) -> bytes | None:
                (correlation_id,) = struct.unpack_from(">i", body)
                if correlation_id in lost_responses:
                    return None
                for theirs, ours in self._replacements:
                    body = body.replace(theirs, ours)
                return body

            for source, target, convert in ((client, broker, convert_request), (broker, client, convert_response)):
                threading.Thread(target=self._forward, args=(source, target, convert), daemon=True).start()

    def _convert_request(self, body: bytes, lost_responses: set[int]) -> bytes | None:
        """Return a request, or None when it is lost; note when its response is to be lost."""
        api_key, _, correlation_id = struct.unpack_from(">hhi", body)
        with self._lock:
            loss = self._loss
            if loss is None:
                return body
            self._counts[api_key] = self._counts.get(api_key, 0) + 1
            if api_key == loss.until and self.lost:
                self._loss = None
            elif api_key == loss.api_key and self._counts[api_key] >= loss.after:
                self.lost += 1
                if loss.what == "request":
                    return None
                lost_responses.add(correlation_id)
        return body

    def _forward(self, source: socket.socket, target: socket.socket, convert: Callable[[bytes], bytes | None]) -> None:
        with contextlib.suppress(OSError), source.makefile("rb") as stream:
            while len(size := stream.read(4)) == 4:
                body = convert(stream.read(*struct.unpack(">i", size)))
                self._forwarding.wait()
                if body is not None:
                    target.sendall(size + body)
        for each in (source, target):
            _end(each)
        with self._lock:
            self._open -= {source, target}


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
