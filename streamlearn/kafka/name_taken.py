"""The error of a worker whose name another member of the group has taken."""

from __future__ import annotations

import time

from streamlearn.errors import NameTakenError, StreamlearnError
from streamlearn.kafka.admin.consumer_group import describe_group
from streamlearn.settings.settings import Settings

HOST_SECONDS = 3.0
"""Longest wait for the group to show the newcomer's host, which it does not during a rebalance."""
_POLL_SECONDS = 0.2


def name_taken_error(settings: Settings) -> NameTakenError:
    """Return the error to raise after the group has fenced this worker; it names the host of the newcomer.

    Kafka keeps the member that joined last under a name, and fences the one before it. The host is left out when the
    brokers do not show it in time.
    """
    host = _find_host(settings)
    return NameTakenError(
        f"another worker called {settings.worker.name}{host and f' on {host}'} has joined group "
        f"{settings.kafka.group_id}, and continues in the place of this one: give each worker its own worker.name, "
        "then start this one again"
    )


def _find_host(settings: Settings) -> str:
    """Return the host of the member that has the name; empty when it is not known in time."""
    deadline = time.monotonic() + HOST_SECONDS
    while time.monotonic() < deadline:
        try:
            group = describe_group(settings)
        except StreamlearnError:
            return ""
        for member in group.members:
            if member.instance == settings.worker.name and member.host:
                return member.host
        time.sleep(_POLL_SECONDS)
    return ""
