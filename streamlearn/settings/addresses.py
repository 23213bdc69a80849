"""Addresses of brokers."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.%\w]+\]|[^\s:\[\]/,]+)(?::(\d{1,5}))?")


def parse_broker_addresses(text: str) -> list[str]:
    """Return the brokers in a comma-separated text, each ``host`` or ``host:port``.

    Raises
    ------
    ValueError
        When there is none, or one is not an address.
    """
    servers = [server.strip() for server in text.split(",") if server.strip()]
    if not servers:
        raise ValueError("there is no broker; write host:port, several separated by commas")
    for server in servers:
        match = _ADDRESS.fullmatch(server)
        if match is None or not 0 < int(match[1] or 9092) < 65_536:
            raise ValueError(f"{server!r} is not an address; write host:port, or [address]:port for IPv6")
    return servers
