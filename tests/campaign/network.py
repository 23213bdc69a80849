"""The network between the workers and the brokers of a campaign, which faults cut or silence."""

from __future__ import annotations

from tests.integration.proxy import Proxy


class Network:
    """One proxy per pair of worker and broker.

    Parameters
    ----------
    workers:
        Names of the workers.
    brokers:
        Addresses of the brokers.
    """

    def __init__(self, workers: list[str], brokers: list[str]) -> None:
        self._proxies = {worker: [Proxy(broker) for broker in brokers] for worker in workers}
        for proxies in self._proxies.values():
            for proxy in proxies:
                proxy.advertise(proxies)

    def bootstrap(self, worker: str) -> str:
        """Return the addresses of the brokers for a worker."""
        return ",".join(proxy.address for proxy in self._proxies[worker])

    def cut(self, worker: str) -> None:
        for proxy in self._proxies[worker]:
            proxy.cut()

    def silence(self, worker: str) -> None:
        for proxy in self._proxies[worker]:
            proxy.silence()

    def restore(self, worker: str) -> None:
        for proxy in self._proxies[worker]:
            proxy.restore()

    def close(self) -> None:
        for proxies in self._proxies.values():
            for proxy in proxies:
                proxy.close()
