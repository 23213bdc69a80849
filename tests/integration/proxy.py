"""A proxy before a broker that can be cut, go silent, or lose a chosen request or the answer to it.

Every message is a length and a body; a request's body begins with the number of its kind (``api_key``), its version and
a correlation id, an answer's with that id. The broker's address in answers becomes the proxy's, so that clients come
back here.
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
    """From the ``after``-th request of a kind on, the broker does not hear it, or the client does not hear the answer.

    It ends when a request of the kind ``until`` comes.
    """

    kind: int
    after: int
    what: Literal["request", "answer"]
    until: int


class Proxy:
    """Accepts clients on an address of its own and passes on what they and the broker say.

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
        self._names = (host.encode() + struct.pack(">i", int(port)), host.encode() + struct.pack(">i", own))
        self._renamed = [self._names]
        self._lock = threading.Lock()
        self._loss: Loss | None = None
        self._counts: dict[int, int] = {}
        self._open: set[socket.socket] = set()
        self.lost = 0
        self._closed = False
        self._is_cut = False
        self._passing = threading.Event()
        self._passing.set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def lose(self, loss: Loss) -> None:
        """Lose messages from here on."""
        with self._lock:
            self._loss = loss
            self._counts.clear()
            self.lost = 0

    def stand_beside(self, others: Sequence[Proxy]) -> None:
        """Let clients find the other brokers of a cluster behind their proxies."""
        self._renamed = [each._names for each in others]

    def cut(self) -> None:
        """Reset every connection, and every new one, until `mend`."""
        self._is_cut = True
        self._end_connections()

    def silence(self) -> None:
        """Keep connections open and pass nothing on until `mend`."""
        self._passing.clear()

    def mend(self) -> None:
        """End a cut or a silence."""
        self._is_cut = False
        self._passing.set()

    def close(self) -> None:
        """Cut every connection and accept none."""
        self._closed = True
        self._passing.set()
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
            unheard: set[int] = set()

            def heard(body: bytes, unheard: set[int] = unheard) -> bytes | None:
                return self._request(body, unheard)

            def answered(body: bytes, unheard: set[int] = unheard) -> bytes | None:
                (correlation,) = struct.unpack_from(">i", body)
                if correlation in unheard:
                    return None
                for theirs, ours in self._renamed:
                    body = body.replace(theirs, ours)
                return body

            for source, target, change in ((client, broker, heard), (broker, client, answered)):
                threading.Thread(target=self._pass, args=(source, target, change), daemon=True).start()

    def _request(self, body: bytes, unheard: set[int]) -> bytes | None:
        kind, _, correlation = struct.unpack_from(">hhi", body)
        with self._lock:
            loss = self._loss
            if loss is None:
                return body
            self._counts[kind] = self._counts.get(kind, 0) + 1
            if kind == loss.until and self.lost:
                self._loss = None
            elif kind == loss.kind and self._counts[kind] >= loss.after:
                self.lost += 1
                if loss.what == "request":
                    return None
                unheard.add(correlation)
        return body

    def _pass(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes | None]) -> None:
        with contextlib.suppress(OSError), source.makefile("rb") as stream:
            while len(size := stream.read(4)) == 4:
                body = change(stream.read(*struct.unpack(">i", size)))
                self._passing.wait()
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
