"""The options of the Kafka client that every connection shares."""

from __future__ import annotations

from typing import Any

from streamlearn.settings.addresses import server_addresses
from streamlearn.settings.model import Settings


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return the client's options for reaching the brokers."""
    return {
        "bootstrap_servers": server_addresses(settings.kafka.bootstrap_servers),
        "client_id": f"streamlearn-{settings.worker.name}",
        "bootstrap_timeout_ms": 10_000,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 10_000,
    }
