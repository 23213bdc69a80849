"""The gap in predictions when the active worker is killed, with a warm and a cold standby. Run as a command:

    python -m tests.benchmarks.takeover [--bootstrap H:P] [--rate N] [--seconds N] [--kills N] [--session-timeout-ms N]

Without ``--bootstrap`` it starts its own broker with ``deploy/kafka/broker``. Two workers share a group; instances come
at a constant rate. After ``--seconds`` the active worker is killed with SIGKILL and, after the takeover, started again
as the standby. The gap is the longest time between two arrivals of answers at a read_committed consumer around the
kill. It includes the session timeout, which no takeover can undercut, so the gap beyond the timeout is reported too.
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
    """Two workers of a group, one of them active, and the traffic that they answer."""

    def __init__(self, bootstrap: str, kind: str, options: argparse.Namespace, folder: Path) -> None:
        self._session_seconds = options.session_timeout_ms / 1000
        self._folder = folder
        name = f"bench-takeover-{uuid.uuid4().hex[:8]}"
        self._settings = settings_for(bootstrap, name, str(folder / "snapshots"))
        prepare_topics(self._settings)
        timeout = f"kafka.session_timeout_ms={options.session_timeout_ms}"
        self._options = [f"engine.standby={kind}", timeout, *options.set]
        self._workers = [self._start("w0")]
        self._await_active(self.active)
        self._workers.append(self._start("w1"))
        self._await_standby()
        self.answers = Answers(self._settings)
        self.feed = Feed(self._settings)
        self._traffic = threading.Thread(target=self.feed.send, args=(options.rate,))
        self._traffic.start()

    @property
    def active(self) -> Worker:
        """The active worker."""
        return self._workers[0]

    @property
    def standby(self) -> Worker:
        """The standby worker."""
        return self._workers[1]

    def _start(self, name: str) -> Worker:
        return Worker(self._settings, self._folder, name, self._options)

    def _await_active(self, worker: Worker) -> None:
        wait("an active worker", lambda: worker.get("/readyz") == "active")

    def _await_standby(self) -> None:
        wait("a standby", lambda: self.standby.get("/readyz").startswith("stand-by"))

    def kill(self) -> float:
        """Kill the active worker, start it again after the takeover, and return the gap in seconds."""
        moment = time.perf_counter()
        self.active.kill()
        self._await_active(self.standby)
        if not self.answers.wait_beyond(moment + self._session_seconds, WAIT_SECONDS):
            raise TimeoutError(f"no answers within {WAIT_SECONDS:.0f} s of the takeover")
        gap = self.answers.gap(moment)
        killed = self._workers.pop(0)
        self._workers.append(self._start(killed.name))
        self._await_standby()
        return gap

    def close(self) -> None:
        """Stop the traffic and kill the workers."""
        self.feed.end()
        self._traffic.join()
        self.answers.close()
        for worker in self._workers:
            worker.kill()


def run(bootstrap: str, kind: str, options: argparse.Namespace) -> dict[str, object]:
    """Kill the active worker ``options.kills`` times; return the gaps."""
    session = options.session_timeout_ms / 1000
    gaps = []
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(bootstrap, kind, options, Path(folder))
        try:
            for _ in range(options.kills):
                threading.Event().wait(options.seconds)
                lag = pair.standby.gauge("stand_by_lag_batches")
                sent = len(pair.feed.sent)
                unanswered = sent - len(pair.answers.received)
                gap = pair.kill()
                gaps.append(gap)
                print(  # noqa: T201
                    f"  {kind}: gap {gap:.2f} s, {gap - session:+.2f} s beyond the session timeout; {sent:,} sent, "
                    f"{unanswered:,} unanswered at the kill, lag of the standby {lag:.0f} batches",
                    flush=True,
                )
        finally:
            pair.close()
    return {
        "standby": kind,
        "rate": options.rate,
        "session_timeout_s": session,
        "gaps_s": [round(gap, 2) for gap in gaps],
        "worst_beyond_timeout_s": round(max(gaps) - session, 2),
    }


def main() -> None:
    """Measure, print a line per kill and a JSON object per kind of standby, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="address of a running broker (by default one is started)")
    parser.add_argument("--rate", type=int, default=1_000, help="instances per second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of traffic before each kill (%(default)s)")
    parser.add_argument("--kills", type=int, default=3, help="kills per kind of standby (%(default)s)")
    parser.add_argument("--session-timeout-ms", type=int, default=6_000, help="of the workers' consumers (%(default)s)")
    parser.add_argument("--standby", choices=("warm", "cold", "both"), default="both", help="kinds (%(default)s)")
    parser.add_argument("--set", action="append", default=[], help="SECTION.KEY=VALUE, can be repeated")
    add_history_option(parser)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    kinds = ("warm", "cold") if options.standby == "both" else (options.standby,)
    with broker(options.bootstrap) as bootstrap:
        for kind in kinds:
            found = run(bootstrap, kind, options)
            print(json.dumps(found), flush=True)  # noqa: T201
            worst = Figure(float(str(found["worst_beyond_timeout_s"])), "s", "lower")
            figures[f"{kind} at {options.rate:,} per second/worst beyond the session timeout"] = worst
    keep("takeover", figures, options)


if __name__ == "__main__":
    main()
