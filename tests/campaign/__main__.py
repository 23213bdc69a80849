"""Run a campaign of faults. The seed determines every fault; each is printed with its time, to repeat a failure.

    python -m tests.campaign --minutes 3 --seed 1

Ctrl-C ends the faults and starts the check. Exit status: 0 when every guarantee held, 1 when one was violated; then the
folder with all logs is kept.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.campaign.check import CheckResult, check
from tests.campaign.faults import FAULTS, Fault, Undo
from tests.campaign.feed import Feed
from tests.campaign.upgrades import UPGRADES
from tests.campaign.world import TURN_SECONDS, World


def main() -> int:
    """Inject faults, check the guarantees, and report."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="of faults, before catching up and the check (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of faults and records (%(default)s)")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3), help="number of brokers (%(default)s)")
    parser.add_argument("--workers", type=int, default=3, help="number of workers (%(default)s)")
    parser.add_argument("--scope", choices=("topic", "partition"), default="topic", help="engine.scope (%(default)s)")
    parser.add_argument("--rate", type=float, default=200.0, help="instances per second (%(default)s)")
    parser.add_argument("--pause", type=float, default=2.5, help="mean seconds between two faults (%(default)s)")
    parser.add_argument("--faults", default="", help=f"kinds of faults, comma-separated, of: {', '.join(FAULTS)} (all)")
    parser.add_argument("--upgrades", action="store_true", help="also upgrade and downgrade the workers")
    parser.add_argument("--folder", type=Path, help="empty folder for data and logs (by default a temporary one)")
    parser.add_argument("--json", type=Path, help="file for the report")
    options = parser.parse_args()
    names = [name.strip() for name in options.faults.split(",") if name.strip()] or list(FAULTS)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        parser.error(f"unknown faults: {', '.join(unknown)}; choose from {', '.join(FAULTS)}")
    chosen = {**{name: FAULTS[name] for name in names}, **(UPGRADES if options.upgrades else {})}
    folder = options.folder or Path(tempfile.mkdtemp(prefix="streamlearn-campaign-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:8.1f} s  {text}", flush=True)  # noqa: T201

    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda number, frame: interrupted.set())
    say(f"campaign with seed {options.seed} in {folder}")
    world = World(folder, options.nodes, options.workers, options.scope, say, upgrades=options.upgrades)
    try:
        if not world.disk:
            say("`fill the disk` is skipped: it needs the right to mount a small disk for the snapshots")
        feed = Feed(
            world.broker.address,
            world.service.topic("instances"),
            world.service.topic("labels"),
            options.rate,
            options.seed,
        )
        feed.start()
        try:
            draw = random.Random(options.seed)
            injected = _inject(world, draw, chosen, options.minutes * 60, options.pause, interrupted)
        finally:
            feed.stop()
        say("faults ended: the workers catch up")
        world.finish(120 + 60 * options.minutes)
        say("checking the guarantees")
        try:
            result = check(world)
        except AssertionError as violation:
            say(f"VIOLATED: {violation}")
            return 1
    finally:
        world.close()
    report = {
        "seed": options.seed,
        "minutes": options.minutes,
        "nodes": options.nodes,
        "workers": options.workers,
        "scope": options.scope,
        "injected": dict(injected),
        "ends": dict(world.ends),
        "sent": dict(feed.sent),
        "resident_bytes": world.resident_bytes,
        **result._asdict(),
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    _print_report(injected, world, feed, result)
    if options.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _inject(
    world: World,
    draw: random.Random,
    chosen: Mapping[str, Fault],
    seconds: float,
    pause: float,
    interrupted: threading.Event,
) -> Counter[str]:
    """Inject faults until the time is over, and undo all of them; return how often each was injected."""
    injected: Counter[str] = Counter()
    undos: list[tuple[float, int, Undo]] = []
    weights = [fault.weight for fault in chosen.values()]
    end = time.monotonic() + seconds
    due = time.monotonic() + 3.0
    while (now := time.monotonic()) < end or undos:
        while undos and (undos[0][0] <= now or now >= end):
            heapq.heappop(undos)[2]()
        world.supervise()
        if due <= now < end:
            seed = draw.getrandbits(32)
            name = random.Random(seed).choices(list(chosen), weights)[0]
            fault = chosen[name].inject(world, random.Random(seed))
            if fault is not None:
                injected[name] += 1
                world.say(f"{name} (seed {seed}): {fault.what}" + (f", for {fault.after:.1f} s" if fault.undo else ""))
                if fault.undo is not None:
                    heapq.heappush(undos, (now + fault.after, sum(injected.values()), fault.undo))
            due = time.monotonic() + draw.expovariate(1 / pause)
        if interrupted.wait(TURN_SECONDS):
            end = now
    return injected


def _print_report(injected: Counter[str], world: World, feed: Feed, result: CheckResult) -> None:
    lines = ["", "| fault | times |", "|---|--:|", *(f"| {name} | {count:,} |" for name, count in injected.items())]
    lines += ["", "| a worker's process | times |", "|---|--:|", *(f"| {k} | {v:,} |" for k, v in world.ends.items())]
    lines += ["", "| sent | |", "|---|--:|", *(f"| {kind} | {count:,} |" for kind, count in sorted(feed.sent.items()))]
    lines += ["", "| found | |", "|---|--:|", f"| committed instances | {result.instances:,} |"]
    lines += [f"| answered, each exactly once | {result.answered:,} |"]
    lines += [f"| dead letters: {reason} | {count:,} |" for reason, count in sorted(result.dead_letters.items())]
    lines += [f"| longest time without an answer | {result.longest_gap_seconds:.1f} s |"]
    lines += [f"| maximum memory of a worker | {world.resident_bytes / 2**20:.0f} MiB |"]
    lines += [f"| snapshots verified at the end | {result.snapshots_good} |", ""]
    lines += ["no duplicates, no losses, and no difference from one uninterrupted run over the journal"]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
