"""The gap in predictions when the active worker is killed, with a warm stand-by and with a cold one. Run as a command:

    python -m tests.benchmarks.takeover [--bootstrap H:P] [--rate N] [--seconds N] [--kills N] [--session-timeout-ms N]

Without ``--bootstrap`` it starts a broker of its own by ``deploy/kafka/broker``. Two workers share a group; instances
come at a steady rate. After ``--seconds`` the active worker gets a SIGKILL and, after the takeover, is started again,
to stand by. The gap is the longest silence around the kill between two arrivals of answers at a read_committed
consumer. Beside it stands what the client alone cannot do without: the session timeout.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from pathlib import Path

from streamlearn.kafka.admin.topics import prepare_topics
from tests.benchmarks.figures import Figure, add_history_option, keep
from tests.benchmarks.traffic import Answers, Feed
from tests.benchmarks.worker import WAIT_SECONDS, Worker, broker, settings_for, wait


class Pair:
    """Two workers of a group, one active, and the traffic that they answer."""

    def __init__(self, bootstrap: str, standby: str, options: argparse.Namespace, folder: Path) -> None:
        self._session_seconds = options.session_timeout_ms / 1000
        self._folder = folder
        name = f"bench-takeover-{uuid.uuid4().hex[:8]}"
        self._settings = settings_for(bootstrap, name, str(folder / "snapshots"))
        prepare_topics(self._settings)
        timeout = f"kafka.session_timeout_ms={options.session_timeout_ms}"
        self._options = [f"engine.standby={standby}", timeout, *options.set]
        self._workers = [self._start("w0")]
        self._await_active(self.active)
        self._workers.append(self._start("w1"))
        self._await_stand_by()
        self.answers = Answers(self._settings)
        self.feed = Feed(self._settings)
        self._traffic = threading.Thread(target=self.feed.send, args=(options.rate,))
        self._traffic.start()

    @property
    def active(self) -> Worker:
        """The active one."""
        return self._workers[0]

    @property
    def other(self) -> Worker:
        """The one that stands by."""
        return self._workers[1]

    def _start(self, name: str) -> Worker:
        return Worker(self._settings, self._folder, name, self._options)

    def _await_active(self, worker: Worker) -> None:
        wait("an active worker", lambda: worker.shows("/readyz") == "active")

    def _await_stand_by(self) -> None:
        wait("a stand-by", lambda: self.other.shows("/readyz").startswith("stand-by"))

    def kill(self) -> float:
        """Kill the active worker, start it again once the other is active; return the gap in seconds."""
        killed = time.perf_counter()
        self.active.kill()
        self._await_active(self.other)
        if not self.answers.wait_beyond(killed + self._session_seconds, WAIT_SECONDS):
            raise TimeoutError(f"no answers within {WAIT_SECONDS:.0f} s of the takeover")
        gap = self.answers.gap(killed)
        killed_one = self._workers.pop(0)
        self._workers.append(self._start(killed_one.name))
        self._await_stand_by()
        return gap

    def close(self) -> None:
        """End the traffic and the workers."""
        self.feed.end()
        self._traffic.join()
        self.answers.close()
        for worker in self._workers:
            worker.kill()


def run(bootstrap: str, standby: str, options: argparse.Namespace) -> dict[str, object]:
    """Kill active workers one after the other; return the gaps."""
    session = options.session_timeout_ms / 1000
    gaps = []
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(bootstrap, standby, options, Path(folder))
        try:
            for _ in range(options.kills):
                threading.Event().wait(options.seconds)
                lag = pair.other.gauge("stand_by_lag_batches")
                sent = len(pair.feed.sent)
                behind = sent - len(pair.answers.came)
                gap = pair.kill()
                gaps.append(gap)
                print(  # noqa: T201
                    f"  {standby}: gap {gap:.2f} s, {gap - session:+.2f} s beside the session timeout; {sent:,} sent, "
                    f"{behind:,} unanswered at the kill, stand-by {lag:.0f} batches behind",
                    flush=True,
                )
        finally:
            pair.close()
    return {
        "standby": standby,
        "rate": options.rate,
        "session_timeout_s": session,
        "gaps_s": [round(gap, 2) for gap in gaps],
        "worst_beyond_timeout_s": round(max(gaps) - session, 2),
    }


def main() -> None:
    """Measure, and print a line for each kill and one for each kind of stand-by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a running broker; else one is started")
    parser.add_argument("--rate", type=int, default=1_000, help="instances a second")
    parser.add_argument("--seconds", type=float, default=20, help="of traffic before each kill")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--session-timeout-ms", type=int, default=6_000)
    parser.add_argument("--standby", choices=("warm", "cold", "both"), default="both")
    parser.add_argument("--set", action="append", default=[], help="a setting of the workers; may be repeated")
    add_history_option(parser)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    kinds = ("warm", "cold") if options.standby == "both" else (options.standby,)
    with broker(options.bootstrap) as bootstrap:
        for standby in kinds:
            found = run(bootstrap, standby, options)
            print(json.dumps(found), flush=True)  # noqa: T201
            worst = Figure(float(str(found["worst_beyond_timeout_s"])), "s", "lower")
            figures[f"{standby} at {options.rate:,} per second/worst beyond the session timeout"] = worst
    keep("takeover", figures, options)


if __name__ == "__main__":
    main()
