"""The faults of a campaign: each is injected now, and mended after a while."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.campaign.world import SESSION_MS, Worker, World
from tests.faults.points import POINTS

Mend = Callable[[], None]


class Injected(NamedTuple):
    """What was done, what mends it, and after how many seconds."""

    what: str
    mend: Mend | None = None
    after: float = 0.0


class Fault(NamedTuple):
    """A kind of fault; ``weight`` is how often it is drawn beside others."""

    weight: float
    inject: Callable[[World, Random], Injected | None]


def _running(world: World, draw: Random) -> Worker | None:
    places = [place for place in world.places if place.process is not None and not place.stopped]
    return draw.choice(places) if places else None


def kill(world: World, draw: Random) -> Injected | None:
    """A worker ends as by a power cut, wherever it is."""
    place = _running(world, draw)
    if place is None:
        return None
    world.signal(place, signal.SIGKILL)
    return Injected(f"{place.name} killed")


def kill_at_a_point(world: World, draw: Random) -> Injected | None:
    """A worker is killed, and its next process at a point of the loop."""
    place = _running(world, draw)
    if place is None:
        return None
    place.armed = f"{draw.choice(sorted(POINTS))}:{draw.randrange(1, 6)}"
    world.signal(place, signal.SIGKILL)
    return Injected(f"{place.name} killed, its next process at {place.armed!r}")


def stop_beyond_the_session(world: World, draw: Random) -> Injected | None:
    """A worker stands still for longer than its session, and wakes."""
    place = _running(world, draw)
    if place is None:
        return None
    world.signal(place, signal.SIGSTOP)
    place.stopped = True
    process = place.process

    def wake() -> None:
        if place.process == process:
            world.signal(place, signal.SIGCONT)
            place.stopped = False

    return Injected(f"{place.name} stopped", wake, SESSION_MS / 1000 * draw.uniform(1.5, 3))


def leave(world: World, draw: Random) -> Injected | None:
    """A worker is asked to stop, and comes back."""
    place = _running(world, draw)
    if place is None:
        return None
    world.signal(place, signal.SIGTERM)
    return Injected(f"{place.name} asked to stop")


def cut_the_network(world: World, draw: Random) -> Injected | None:
    """Every connection of a worker is reset, and every new one."""
    place = draw.choice(world.places)
    world.network.cut(place.name)
    return Injected(f"{place.name} cut from the brokers", lambda: world.network.mend(place.name), draw.uniform(0.5, 8))


def silence_the_network(world: World, draw: Random) -> Injected | None:
    """The connections of a worker stay open, and nothing passes."""
    place = draw.choice(world.places)
    world.network.silence(place.name)
    return Injected(
        f"{place.name} and the brokers hear nothing of each other",
        lambda: world.network.mend(place.name),
        draw.uniform(0.5, 8),
    )


def stop_a_broker(world: World, draw: Random) -> Injected | None:
    """A broker is stopped in order, and started again."""
    return _without_a_broker(world, draw, "stopped", lambda node: world.broker.stop(node))


def kill_a_broker(world: World, draw: Random) -> Injected | None:
    """A broker ends as by a power cut, and is started again."""
    return _without_a_broker(world, draw, "killed", lambda node: world.broker.kill(node))


def freeze_a_broker(world: World, draw: Random) -> Injected | None:
    """A broker stands still, and wakes."""
    if not world.complete.is_set():
        return None
    node = draw.randrange(1, world.broker.nodes + 1)
    world.broker.signal(signal.SIGSTOP, node)
    world.complete.clear()

    def wake() -> None:
        world.broker.signal(signal.SIGCONT, node)
        world.complete.set()

    return Injected(f"broker {node} stands still", wake, draw.uniform(1, 6))


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
            world.say(f"broker {node} did not come back: {done.stderr}")
        else:
            world.complete.set()

    # Other faults go on while a broker takes its time to start.
    return Injected(
        f"broker {node} {how}",
        lambda: threading.Thread(target=start, name="a broker starts").start(),
        draw.uniform(0.5, 6),
    )


def fill_the_disk(world: World, draw: Random) -> Injected | None:
    """Snapshots find no room."""
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
    """A byte of the newest snapshot changes, and a worker has to come back without it."""
    found = sorted(world.service.snapshots.rglob("*.npz"), key=_sequence)
    place = _running(world, draw)
    if not found or place is None:
        return None
    newest = found[-1]
    try:
        with newest.open("r+b") as file:
            at = draw.randrange(newest.stat().st_size)
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ (1 << draw.randrange(8))]))
    except FileNotFoundError:
        # Newer ones have taken its place meanwhile.
        return None
    world.signal(place, signal.SIGKILL)
    return Injected(f"byte {at} of {newest.name} changed, {place.name} killed")


def _sequence(path: Path) -> int:
    return int(path.name.partition("-")[0])


FAULTS: dict[str, Fault] = {
    "kill": Fault(14, kill),
    "kill at a point": Fault(8, kill_at_a_point),
    "stop beyond the session": Fault(1, stop_beyond_the_session),
    "ask to stop": Fault(1, leave),
    "cut the network": Fault(1, cut_the_network),
    "silence the network": Fault(1, silence_the_network),
    "stop a broker": Fault(0.5, stop_a_broker),
    "kill a broker": Fault(0.7, kill_a_broker),
    "freeze a broker": Fault(0.5, freeze_a_broker),
    "fill the disk": Fault(0.7, fill_the_disk),
    "corrupt the newest snapshot": Fault(1, corrupt_the_newest_snapshot),
}
