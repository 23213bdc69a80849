"""Run a campaign. Every fault is drawn from the seed, and told with its time, so that what failed can be done again.

    python -m tests.campaign --minutes 3 --seed 1

Ctrl-C ends the faults and goes on to the proof. Exit status: 0 when every promise held, 1 when one was broken; the
folder of all logs is then kept.
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
from pathlib import Path

from tests.campaign.faults import FAULTS, Mend
from tests.campaign.feeding import Feed
from tests.campaign.proof import Proof, prove
from tests.campaign.world import World

TURN_SECONDS = 0.05


def main() -> int:
    """Run, prove and report."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults; catching up and the proof come on top")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3), help="brokers")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--scope", choices=("topic", "partition"), default="topic")
    parser.add_argument("--rate", type=float, default=200.0, help="instances a second")
    parser.add_argument("--pause", type=float, default=2.5, help="mean seconds between two faults")
    parser.add_argument("--faults", default="", help=f"only these, comma-separated, of: {', '.join(FAULTS)}")
    parser.add_argument("--folder", type=Path, help="new or empty, for data and logs; else a temporary one")
    parser.add_argument("--json", type=Path, help="write what was injected and seen here")
    options = parser.parse_args()
    chosen = [name.strip() for name in options.faults.split(",") if name.strip()] or list(FAULTS)
    unknown = [name for name in chosen if name not in FAULTS]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="streamlearn-campaign-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:8.1f} s  {text}", flush=True)  # noqa: T201

    enough = threading.Event()
    signal.signal(signal.SIGINT, lambda number, frame: enough.set())
    say(f"campaign of seed {options.seed} in {folder}")
    world = World(folder, options.nodes, options.workers, options.scope, say)
    try:
        if not world.disk:
            say("snapshots share the disk of the folder: `fill the disk` needs the right to mount one, and is left out")
        feed = Feed(
            world.broker.address,
            world.service.topic("instances"),
            world.service.topic("labels"),
            options.rate,
            options.seed,
        )
        feed.start()
        try:
            injected = _inject(world, random.Random(options.seed), chosen, options.minutes * 60, options.pause, enough)
        finally:
            feed.stop()
        say("no more faults: the workers apply what is left")
        world.finish(120 + 60 * options.minutes)
        say("the proof")
        try:
            proof = prove(world)
        except AssertionError as broken:
            say(f"BROKEN: {broken}")
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
        **proof._asdict(),
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    _show(injected, world, feed, proof)
    if options.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _inject(
    world: World, draw: random.Random, chosen: list[str], seconds: float, pause: float, enough: threading.Event
) -> Counter[str]:
    """Inject faults until the time is over, and mend all of them; return how often each was injected."""
    injected: Counter[str] = Counter()
    mends: list[tuple[float, int, Mend]] = []
    weights = [FAULTS[name].weight for name in chosen]
    end = time.monotonic() + seconds
    due = time.monotonic() + 3.0
    while (now := time.monotonic()) < end or mends:
        while mends and (mends[0][0] <= now or now >= end):
            heapq.heappop(mends)[2]()
        world.supervise()
        if due <= now < end:
            seed = draw.getrandbits(32)
            name = random.Random(seed).choices(chosen, weights)[0]
            fault = FAULTS[name].inject(world, random.Random(seed))
            if fault is not None:
                injected[name] += 1
                world.say(f"{name} (seed {seed}): {fault.what}" + (f", for {fault.after:.1f} s" if fault.mend else ""))
                if fault.mend is not None:
                    heapq.heappush(mends, (now + fault.after, sum(injected.values()), fault.mend))
            due = time.monotonic() + draw.expovariate(1 / pause)
        if enough.wait(TURN_SECONDS):
            end = now
    return injected


def _show(injected: Counter[str], world: World, feed: Feed, proof: Proof) -> None:
    lines = ["", "| fault | times |", "|---|--:|", *(f"| {name} | {count:,} |" for name, count in injected.items())]
    lines += ["", "| a worker's process | times |", "|---|--:|", *(f"| {k} | {v:,} |" for k, v in world.ends.items())]
    lines += ["", "| sent | |", "|---|--:|", *(f"| {kind} | {count:,} |" for kind, count in sorted(feed.sent.items()))]
    lines += ["", "| found | |", "|---|--:|", f"| committed instances | {proof.instances:,} |"]
    lines += [f"| answered, each once | {proof.answered:,} |"]
    lines += [f"| dead letters: {reason} | {count:,} |" for reason, count in sorted(proof.dead_letters.items())]
    lines += [f"| longest time without an answer | {proof.longest_gap_seconds:.1f} s |"]
    lines += [f"| most memory of a worker | {world.resident_bytes / 2**20:.0f} MiB |"]
    lines += [f"| snapshots verified at the end | {proof.snapshots_good} |", ""]
    lines += ["nothing twice, nothing missing, nothing different from one uninterrupted run over the journal"]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
