"""The releases of a campaign: this one, another one of the same model version, and one of the next model version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from streamlearn import warm_up
from streamlearn._version import MODEL_VERSION
from tests.faults.workers import Starter, Workers
from tests.second_release import Release, build_other_model, build_same_model, share_kernels

THIS = "this release"
SAME = "another release of the same model version"
NEXT = "a release of the next model version"


class Releases:
    """Starts the workers of each release.

    Parameters
    ----------
    folder:
        Folder of the second releases and of the log.
    settings:
        Arguments of a worker, which select what is loaded before the first fork.
    has_others:
        Whether the second releases are built.
    """

    def __init__(self, folder: Path, settings: Sequence[str], *, has_others: bool) -> None:
        self._log = folder / "workers.log"
        self.starters = {THIS: Starter(settings, self._log)}
        if has_others:
            warm_up("fast")
            builders: dict[str, Callable[[Path], Release]] = {SAME: build_same_model, NEXT: build_other_model}
            for name, build in builders.items():
                release = build(folder / f"release-{name.replace(' ', '-')}")
                share_kernels(release, folder / "kernels")
                self.starters[name] = release.start(folder / "kernels", self._log)
        self._workers = {name: Workers(starter, self._log) for name, starter in self.starters.items()}

    def workers(self, release: str) -> Workers:
        """Return the workers of a release."""
        return self._workers[release]

    def by_model_version(self) -> dict[int, Starter]:
        """Return the process that forks those of each other model version."""
        return {MODEL_VERSION + 1: self.starters[NEXT]} if NEXT in self.starters else {}

    def log(self) -> str:
        """Return the log of all workers."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """End the workers, and the processes that fork them."""
        for workers in self._workers.values():
            workers.close()
        for starter in self.starters.values():
            starter.close()
