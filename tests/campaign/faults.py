"""The faults of a campaign: each is injected at once, and undone after some time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from streamlearn._version import MODEL_VERSION
from streamlearn.errors import SnapshotError
from streamlearn.snapshot.format import read_manifest
from tests.campaign.releases import NEXT
from tests.campaign.world import SESSION_MS, Worker, World
from tests.faults.points import POINTS

Undo = Callable[[], None]


class Injected(NamedTuple):
    """An injected fault: what was done, the call that undoes it, and after how many seconds."""

    what: str
    undo: Undo | None = None
    after: float = 0.0


class Fault(NamedTuple):
    """A kind of fault; ``weight`` is its relative frequency."""

    weight: float
    inject: Callable[[World, Random], Injected | None]


def _draw_running(world: World, draw: Random) -> Worker | None:
    running = [worker for worker in world.workers if worker.process is not None and not worker.paused]
    return draw.choice(running) if running else None


def kill(world: World, draw: Random) -> Injected | None:
    """Kill a worker, as a power failure would."""
    worker = _draw_running(world, draw)
    if worker is None:
        return None
    world.signal(worker, signal.SIGKILL)
    return Injected(f"{worker.name} killed")


def kill_at_a_point(world: World, draw: Random) -> Injected | None:
    """Kill a worker, and its next process at a point of the loop."""
    worker = _draw_running(world, draw)
    if worker is None:
        return None
    worker.armed = f"{draw.choice(sorted(POINTS))}:{draw.randrange(1, 6)}"
    world.signal(worker, signal.SIGKILL)
    return Injected(f"{worker.name} killed, its next process at {worker.armed!r}")


def pause_beyond_the_session(world: World, draw: Random) -> Injected | None:
    """Pause a worker for longer than its session, and resume it."""
    worker = _draw_running(world, draw)
    if worker is None:
        return None
    world.signal(worker, signal.SIGSTOP)
    worker.paused = True
    process = worker.process

    def resume() -> None:
        if worker.process == process:
            world.signal(worker, signal.SIGCONT)
            worker.paused = False

    return Injected(f"{worker.name} paused", resume, SESSION_MS / 1000 * draw.uniform(1.5, 3))


def terminate(world: World, draw: Random) -> Injected | None:
    """Stop a worker with SIGTERM; it is started again."""
    worker = _draw_running(world, draw)
    if worker is None:
        return None
    world.signal(worker, signal.SIGTERM)
    return Injected(f"{worker.name} terminated")


def cut_the_network(world: World, draw: Random) -> Injected | None:
    """Reset every open and new connection of a worker."""
    worker = draw.choice(world.workers)
    world.network.cut(worker.name)
    return Injected(
        f"{worker.name} cut from the brokers", lambda: world.network.restore(worker.name), draw.uniform(0.5, 8)
    )


def silence_the_network(world: World, draw: Random) -> Injected | None:
    """Keep the connections of a worker open, and forward nothing."""
    worker = draw.choice(world.workers)
    world.network.silence(worker.name)
    return Injected(
        f"{worker.name} connected to the brokers, without any data",
        lambda: world.network.restore(worker.name),
        draw.uniform(0.5, 8),
    )


def stop_a_broker(world: World, draw: Random) -> Injected | None:
    """Stop a broker with SIGTERM, and start it again."""
    return _without_a_broker(world, draw, "stopped", lambda node: world.broker.stop(node))


def kill_a_broker(world: World, draw: Random) -> Injected | None:
    """Kill a broker, as a power failure would, and start it again."""
    return _without_a_broker(world, draw, "killed", lambda node: world.broker.kill(node))


def pause_a_broker(world: World, draw: Random) -> Injected | None:
    """Pause a broker, and resume it."""
    if not world.complete.is_set():
        return None
    node = draw.randrange(1, world.broker.nodes + 1)
    world.broker.signal(signal.SIGSTOP, node)
    world.complete.clear()

    def resume() -> None:
        world.broker.signal(signal.SIGCONT, node)
        world.complete.set()

    return Injected(f"broker {node} paused", resume, draw.uniform(1, 6))


def _without_a_broker(world: World, draw: Random, how: str, end: Callable[[int], object]) -> Injected | None:
    if not world.complete.is_set():
        return None
    node = draw.randrange(1, world.broker.nodes + 1)
    world.complete.clear()
    ending = threading.Thread(target=end, args=(node,), name="a broker ends")
    ending.start()

    def start() -> None:
        ending.join()
        done = world.broker.start(node=node if world.broker.nodes > 1 else None)
        if done.returncode:
            world.say(f"broker {node} did not start again: {done.stderr}")
        else:
            world.complete.set()

    # In a thread: other faults continue while the broker starts.
    return Injected(
        f"broker {node} {how}",
        lambda: threading.Thread(target=start, name="a broker starts").start(),
        draw.uniform(0.5, 6),
    )


def fill_the_disk(world: World, draw: Random) -> Injected | None:
    """Fill the disk of the snapshots."""
    ballast = world.service.snapshots / "ballast"
    if not world.disk or ballast.exists():
        return None
    with ballast.open("wb", buffering=0) as file:
        block = b"\0" * (1 << 16)
        try:
            while file.write(block) == len(block):
                pass
        except OSError:
            pass
    return Injected("the disk of the snapshots is full", ballast.unlink, draw.uniform(2, 10))


def corrupt_the_newest_snapshot(world: World, draw: Random) -> Injected | None:
    """Change a byte of the newest snapshot, and kill a worker, which then has to restore without it."""
    found = sorted(world.service.snapshots.rglob("*.npz"), key=_sequence)
    worker = _draw_running(world, draw)
    if not found or worker is None or not _has_another(world, found):
        return None
    newest = found[-1]
    try:
        with newest.open("r+b") as file:
            position = draw.randrange(newest.stat().st_size)
            file.seek(position)
            (byte,) = file.read(1)
            file.seek(position)
            file.write(bytes([byte ^ (1 << draw.randrange(8))]))
    except FileNotFoundError:
        # Removed meanwhile in favour of newer snapshots.
        return None
    world.corrupted.add(newest.name)
    world.signal(worker, signal.SIGKILL)
    return Injected(f"byte {position} of {newest.name} changed, {worker.name} killed")


def _has_another(world: World, found: Sequence[Path]) -> bool:
    """Return whether the model can be restored without its newest snapshot.

    Where another model version continues, only the snapshot of that point leads on.
    """
    if len(world.releases.starters) == 1:
        return True
    expected = MODEL_VERSION + (world.release == NEXT)
    return not world.operator.is_busy and [_model_version(path) for path in found[-2:]] == [expected, expected]


def _model_version(path: Path) -> int:
    try:
        return read_manifest(path)["model_version"]
    except (SnapshotError, FileNotFoundError):
        return -1


def _sequence(path: Path) -> int:
    return int(path.name.partition("-")[0])


FAULTS: dict[str, Fault] = {
    "kill": Fault(14, kill),
    "kill at a point": Fault(8, kill_at_a_point),
    "pause beyond the session": Fault(1, pause_beyond_the_session),
    "terminate": Fault(1, terminate),
    "cut the network": Fault(1, cut_the_network),
    "silence the network": Fault(1, silence_the_network),
    "stop a broker": Fault(0.5, stop_a_broker),
    "kill a broker": Fault(0.7, kill_a_broker),
    "pause a broker": Fault(0.5, pause_a_broker),
    "fill the disk": Fault(0.7, fill_the_disk),
    "corrupt the newest snapshot": Fault(1, corrupt_the_newest_snapshot),
}
