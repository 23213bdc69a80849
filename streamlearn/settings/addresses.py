"""The text that names brokers."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.%\w]+\]|[^\s:\[\]/,]+)(?::(\d{1,5}))?")


def server_addresses(text: str) -> list[str]:
    """Return the brokers of a comma-separated text, each ``host`` or ``host:port``.

    Raises
    ------
    ValueError
        When there is none, or one is no address.
    """
    servers = [server.strip() for server in text.split(",") if server.strip()]
    if not servers:
        raise ValueError("no broker is named; write host:port, several with commas between")
    for server in servers:
        found = _ADDRESS.fullmatch(server)
        if found is None or not 0 < int(found[1] or 9092) < 65_536:
            raise ValueError(f"{server!r} is no address; write host:port, or [address]:port for IPv6")
    return servers
