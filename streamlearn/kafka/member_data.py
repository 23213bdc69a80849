"""What a member tells the others of its group when it joins: the user data of its subscription.

The brokers show it with the group. They keep the address and the client id of the member that first joined under a
``group.instance.id``, also after another one has taken its place; the user data is that of the newcomer.
"""

from __future__ import annotations

import json
import socket
from typing import NamedTuple

NO_GENERATION = -1


class MemberData(NamedTuple):
    """The machine of a member, and the generation in which it was last given the partitions of scope ``topic``."""

    host: str = ""
    generation: int = NO_GENERATION

    def encode(self) -> bytes:
        return json.dumps({"host": self.host, "generation": self.generation}).encode()

    @classmethod
    def decode(cls, data: bytes | None) -> MemberData:
        """Return the data of a member; nothing is known of one that is no worker, or of another release.

        Releases up to 0.1 send the digits of the generation.
        """
        try:
            fields = json.loads(data or b"{}")
        except ValueError:
            return cls()
        if isinstance(fields, int):
            return cls(generation=fields)
        if not isinstance(fields, dict):
            return cls()
        host, generation = fields.get("host"), fields.get("generation")
        return cls(host if isinstance(host, str) else "", generation if isinstance(generation, int) else NO_GENERATION)


def describe_machine(broker_host: str, broker_port: int) -> str:
    """Return this machine's name, with the address from which it reaches a broker where there is a route to it."""
    name = socket.gethostname()
    try:
        family, kind, *_, address = socket.getaddrinfo(broker_host, broker_port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            # Nothing is sent: this only chooses the route.
            probe.connect(address)
            return f"{name} ({probe.getsockname()[0]})"
    except OSError:
        return name
