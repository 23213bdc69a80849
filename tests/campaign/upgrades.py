"""Upgrades and downgrades of a campaign: what an operator does step by step, while other faults go on.

The steps are those of the documentation. A step that fails is repeated, as faults may be the reason.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from random import Random

from streamlearn._version import MODEL_VERSION
from streamlearn.errors import SnapshotError
from streamlearn.snapshot.store import SnapshotStore
from tests.campaign.faults import Fault, Injected
from tests.campaign.operator import wait_until
from tests.campaign.releases import NEXT, SAME, THIS
from tests.campaign.world import SetAside, Worker, World

ROLLING_PAUSE_SECONDS = 3.0
"""Time that a worker gets to stand by before the next one is replaced."""


def upgrade_drained(world: World, draw: Random) -> Injected | None:
    """Stop all workers with SIGTERM, drain what is left, and start the next release."""
    operator = world.operator
    if not _can_upgrade(world):
        return None

    def change() -> None:
        codes = operator.stop_all(signal.SIGTERM)
        # Each has ended well when none was active, too.
        if any(codes) or not operator.succeeds(NEXT, "check"):
            operator.run(THIS, "run", "--drain")
        _set_aside(world)
        operator.replace(NEXT)

    operator.begin(change)
    return Injected("all workers are drained and upgraded")


def upgrade_killed(world: World, draw: Random) -> Injected | None:
    """Kill all workers, upgrade their model, and start the next release."""
    operator = world.operator
    if not _can_upgrade(world):
        return None

    def change() -> None:
        operator.stop_all(signal.SIGKILL)
        _set_aside(world)
        operator.run(NEXT, "upgrade", "--yes")
        operator.replace(NEXT)

    operator.begin(change)
    return Injected("all workers are killed, their model is upgraded")


def upgrade_rolling(world: World, draw: Random) -> Injected | None:
    """Replace one worker after the other by the next release, which stands by until it takes over."""
    operator = world.operator
    if not _can_upgrade(world):
        return None
    order = draw.sample(world.workers, len(world.workers))
    number = draw.choice([signal.SIGTERM, signal.SIGKILL])

    def change() -> None:
        _set_aside(world)
        for worker in order:
            worker.release = NEXT
            world.signal(worker, signal.SIGCONT)
            world.signal(worker, number)
            time.sleep(ROLLING_PAUSE_SECONDS)
        # A crash of all may have left a model that no worker takes over by itself.
        operator.stop_all(signal.SIGTERM)
        operator.run(NEXT, "upgrade", "--yes")

    operator.begin(change)
    return Injected(f"the workers are replaced one by one by the next release, with {number.name}")


def downgrade_by_rollback(world: World, draw: Random) -> Injected | None:
    """Stop all workers of the next release, roll the model back to the kept snapshot of this one, and start it."""
    operator = world.operator
    if operator.is_busy or world.release != NEXT:
        return None
    kept = world.set_aside
    if kept is None:
        # It was upgraded before the first snapshot.
        return None
    number = draw.choice([signal.SIGTERM, signal.SIGKILL])

    def roll_back() -> bool:
        try:
            shutil.copy2(kept.copy, kept.path)
        except OSError as error:
            world.say(f"{kept.path.name} was not put back: {error}")
            return False
        return operator.succeeds(THIS, "snapshot", "rollback", kept.path.name.partition("-")[0], "--yes")

    def change() -> None:
        operator.stop_all(number)
        wait_until(roll_back, "the rollback")
        operator.replace(THIS)

    operator.begin(change)
    return Injected(f"all workers go back to this release and {kept.path.name}, after {number.name}")


def replace_by_the_same_model(world: World, draw: Random) -> Injected | None:
    """Replace a worker by another release of the same model version, or back."""
    if world.operator.is_busy or world.release == NEXT:
        return None
    worker: Worker = draw.choice(world.workers)
    worker.release = SAME if worker.release == THIS else THIS
    number = draw.choice([signal.SIGTERM, signal.SIGKILL])
    world.signal(worker, number)
    return Injected(f"{worker.name} replaced by {worker.release}, with {number.name}")


def _can_upgrade(world: World) -> bool:
    """Return whether the workers are of this release, and have left a snapshot for the way back."""
    has_snapshot = any(world.service.snapshots.rglob("*.npz"))
    return not world.operator.is_busy and world.release != NEXT and has_snapshot


def _set_aside(world: World) -> None:
    """Keep a copy of the newest whole snapshot of this model version: the next release removes those that it has no
    use for."""
    store = SnapshotStore(str(world.service.snapshots))
    for entry in sorted(store.list(), key=lambda entry: -entry.seq):
        try:
            if store.verify(entry)["model_version"] != MODEL_VERSION:
                continue
            path = Path(entry.path)
            copy = world.service.snapshots.parent / "set-aside" / path.name
            copy.parent.mkdir(exist_ok=True)
            shutil.copy2(path, copy)
        except (SnapshotError, FileNotFoundError):
            continue
        world.set_aside = SetAside(path, copy)
        return


UPGRADES: dict[str, Fault] = {
    "upgrade, drained": Fault(3, upgrade_drained),
    "upgrade, killed": Fault(3, upgrade_killed),
    "upgrade, rolling": Fault(3, upgrade_rolling),
    "downgrade by a rollback": Fault(6, downgrade_by_rollback),
    "replace by the same model": Fault(1, replace_by_the_same_model),
}
"""Faults of a campaign with ``--upgrades``."""
