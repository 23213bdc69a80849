"""Toxiproxy between a worker and a broker: https://github.com/Shopify/toxiproxy."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "STREAMLEARN_TOXIPROXY"
START_SECONDS = 20.0
_NAME = "broker"


def program() -> str:
    """Return the server's program; skip the test where there is none."""
    found = os.environ.get(VARIABLE) or shutil.which("toxiproxy-server")
    if not found:
        pytest.skip(
            "toxiproxy-server is missing: put it on the PATH, or install Go, run `go install "
            f"github.com/Shopify/toxiproxy/v2/cmd/server@latest` and name the program in {VARIABLE}"
        )
    return found


class Toxiproxy:
    """One proxy, from ``listen`` to ``upstream``, both ports of this machine."""

    def __init__(self, listen: int, upstream: int, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._api = f"http://127.0.0.1:{port}"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [program(), "-host", "127.0.0.1", "-port", str(port)], stdout=output, stderr=subprocess.STDOUT
            )
        proxy = {"name": _NAME, "listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{upstream}", "enabled": True}
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._call("POST", "/proxies", proxy)
                return
            except urllib.error.HTTPError:
                raise
            except OSError:
                ended = self._process.poll()
                assert ended is None, f"toxiproxy ended with {ended}: {log.read_text(errors='replace')}"
                assert time.monotonic() < deadline, f"toxiproxy does not answer within {START_SECONDS:.0f} s"

    @contextlib.contextmanager
    def toxic(self, kind: str, *streams: str, **attributes: int) -> Iterator[None]:
        """Apply a toxic to connections while the block lasts, by default in both directions."""
        names = []
        for stream in streams or ("upstream", "downstream"):
            toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
            self._call("POST", f"/proxies/{_NAME}/toxics", toxic)
            names.append(toxic["name"])
        yield
        for name in names:
            self._call("DELETE", f"/proxies/{_NAME}/toxics/{name}")

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Close all connections and accept no new ones while the block lasts."""
        self._call("POST", f"/proxies/{_NAME}", {"enabled": False})
        yield
        self._call("POST", f"/proxies/{_NAME}", {"enabled": True})

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._api + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
