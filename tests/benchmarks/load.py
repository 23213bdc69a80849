"""A worker under load for a long time: sustained, in a burst, behind a backlog, and idle. Run as a command:

    python -m tests.benchmarks.load [--minutes 20] [--burst-minutes 2] [--backlog 10000000] [--bootstrap H:P]

Truths come on a topic of their own, ``--truths-behind`` instances after theirs, which all wait; a quarter more are kept
for corrections. The limit is measured first, in instances a second, from a backlog. Then comes 80 % of it for minutes;
then three times the limit, and how long it takes to catch up. The long backlog, and the limit beside it, has its truths
in the instances. ``--minutes 0`` leaves out the one, ``--backlog 0`` the other. Latency is from handing an instance to
the producer to its answer in a read_committed consumer.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamlearn.kafka.admin.topics import prepare_topics
from streamlearn.settings.settings import Settings
from tests.benchmarks.figures import Figure, add_history_option, keep
from tests.benchmarks.traffic import Answers, Feed
from tests.benchmarks.worker import Worker, broker, settings_for, wait

PENDING_BYTES = 2_000
"""More than an instance of this traffic takes while it waits."""
IDLE_SECONDS = 20.0
SAMPLE_SECONDS = 2.0


class Sample(NamedTuple):
    """What a worker held at a moment."""

    resident_bytes: int
    lag_records: float
    lag_seconds: float


def _sampled(worker: Worker, done: Callable[[float], bool]) -> list[Sample]:
    """Look at a worker every two seconds until something is done, which is asked with the seconds to wait for it."""
    samples = []
    while True:
        worker.check()
        lag = worker.gauge("lag_records"), worker.gauge("lag_seconds")
        samples.append(Sample(worker.resident_bytes(), *lag))
        if done(SAMPLE_SECONDS):
            return samples


def _sent(feed: Feed, worker: Worker, rate: float, minutes: float) -> tuple[float, list[Sample]]:
    """Send at a rate and look at the worker; return the rate reached, and the samples."""

    def ended(seconds: float) -> bool:
        wait_for([sending], seconds)
        return sending.done()

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(feed.send, rate, int(rate * minutes * 60))
        try:
            samples = _sampled(worker, ended)
        except BaseException:
            feed.end()
            raise
    return sending.result(), samples


def _answered(answers: Answers, number: int) -> Callable[[float], bool]:
    return lambda seconds: answers.wait(number, seconds)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a running broker; else one is started")
    parser.add_argument("--limit-records", type=int, default=60_000, help="from which the limit is measured")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--burst-minutes", type=float, default=2.0)
    parser.add_argument("--backlog", type=int, default=10_000_000)
    parser.add_argument("--truths-behind", type=int, default=500_000, help="instances between one and its truth")
    add_history_option(parser)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    with broker(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        if options.minutes:
            _late_truths(bootstrap, folder, options, figures)
        if options.backlog:
            _backlog(bootstrap, folder, options, figures)
    keep("load", figures, options)


def _late_truths(bootstrap: str, folder: str, options: argparse.Namespace, figures: dict[str, Figure]) -> None:
    name = f"load-{uuid.uuid4().hex[:8]}"
    settings = settings_for(bootstrap, name, folder, labels=f"{name}-labels")
    prepare_topics(settings)
    feed = Feed(settings, options.truths_behind)
    feed.send(count=options.truths_behind)
    kept = int(options.truths_behind * 1.25)
    waiting = [f"labels.pending_count={kept}", f"labels.pending_bytes={kept * PENDING_BYTES}"]
    limit = _from_a_backlog(feed, settings, options.limit_records, waiting)
    _say(f"limit, truths {options.truths_behind:,} instances behind: {limit:,.0f} instances/s with their truths")
    figures["limit/truths late"] = Figure(limit, "instances/s", "higher")
    answers, worker = Answers(settings), Worker(settings, Path(folder), options=waiting)
    try:
        _idle(worker, figures)
        _sustained(feed, answers, worker, 0.8 * limit, options, figures)
        _burst(feed, answers, worker, 3 * limit, options.burst_minutes, figures)
    finally:
        worker.stop()
        answers.close()


def _backlog(bootstrap: str, folder: str, options: argparse.Namespace, figures: dict[str, Figure]) -> None:
    settings = settings_for(bootstrap, f"load-{uuid.uuid4().hex[:8]}", folder)
    prepare_topics(settings)
    feed = Feed(settings)
    limit = _from_a_backlog(feed, settings, options.limit_records)
    _say(f"limit, truths in the instances: {limit:,.0f} instances/s")
    figures["limit/truths in the instances"] = Figure(limit, "instances/s", "higher")
    rate = _from_a_backlog(feed, settings, options.backlog)
    _say(f"backlog of {options.backlog:,}: {rate:,.0f} instances/s, {rate / limit:.2f} of the limit")
    figures["backlog/rate"] = Figure(rate, "instances/s", "higher")


def _from_a_backlog(feed: Feed, settings: Settings, count: int, more: Sequence[str] = ()) -> float:
    """Return how many of so many more instances a second a worker answers and learns that finds them waiting."""
    first = len(feed.sent)
    feed.send(count=count)
    answers, worker = Answers(settings), Worker(settings, Path(settings.snapshot.location), options=more)
    try:
        _sampled(worker, _answered(answers, len(feed.sent) - 1))
        worker.stop()
    finally:
        answers.close()
    moments = sorted(moment for number, moment in answers.came.items() if number >= first)
    # The first batches come while the worker's process is still loading.
    skipped = len(moments) // 5
    return (len(moments) - skipped) / (moments[-1] - moments[skipped])


def _idle(worker: Worker, figures: dict[str, Figure]) -> None:
    pause = threading.Event()
    wait("an active worker without lag", lambda: worker.gauge("lag_records") == 0)
    pause.wait(SAMPLE_SECONDS)
    before = worker.cpu_seconds()
    pause.wait(IDLE_SECONDS)
    share = (worker.cpu_seconds() - before) / IDLE_SECONDS
    _say(f"idle: {share:.1%} of a core")
    figures["idle/share of a core"] = Figure(share, "", "lower")


def _sustained(
    feed: Feed,
    answers: Answers,
    worker: Worker,
    rate: float,
    options: argparse.Namespace,
    figures: dict[str, Figure],
) -> None:
    first = len(feed.sent)
    _, samples = _sent(feed, worker, rate, options.minutes)
    last = len(feed.sent) - 1
    _sampled(worker, _answered(answers, last))
    p50, p99 = np.percentile(answers.milliseconds(feed.sent, first, last), [50, 99])
    half = len(samples) // 2
    memory = [max(sample.resident_bytes for sample in part) / 2**20 for part in (samples[:half], samples[half:])]
    lag = [np.nanmax([sample.lag_records for sample in part]) for part in (samples[:half], samples[half:])]
    _say(
        f"sustained, {rate:,.0f}/s for {options.minutes:g} min, truths {options.truths_behind / rate:.0f} s late: "
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    _say(f"  memory in the first half {memory[0]:.0f} MiB, in the second {memory[1]:.0f} MiB")
    _say(f"  most records behind in the first half {lag[0]:,.0f}, in the second {lag[1]:,.0f}")
    figures["sustained/p50"] = Figure(float(p50), "ms", "lower")
    figures["sustained/p99"] = Figure(float(p99), "ms", "lower")
    figures["sustained/memory"] = Figure(memory[1], "MiB", "lower")
    figures["sustained/most records behind"] = Figure(float(max(lag)), "records", "lower")


def _burst(
    feed: Feed, answers: Answers, worker: Worker, rate: float, minutes: float, figures: dict[str, Figure]
) -> None:
    reached, samples = _sent(feed, worker, rate, minutes)
    last = len(feed.sent) - 1
    after = _sampled(worker, _answered(answers, last))
    lag = np.nanmax([sample.lag_records for sample in [*samples, *after]])
    age = np.nanmax([sample.lag_seconds for sample in [*samples, *after]])
    seconds = answers.came[last] - feed.sent[last]
    _say(
        f"burst of {reached:,.0f}/s for {minutes:g} min (asked {rate:,.0f}): lag up to {lag:,.0f} records "
        f"and {age:.0f} s, caught up {seconds:.0f} s after it; answered {len(answers.came):,} of {len(feed.sent):,}"
    )
    figures["burst/rate reached"] = Figure(reached, "instances/s", "neither")
    figures["burst/most records behind"] = Figure(float(lag), "records", "lower")
    figures["burst/seconds to catch up"] = Figure(seconds, "s", "lower")


if __name__ == "__main__":
    main()
