"""A worker under load for a long time: sustained, in a burst, with a backlog, and idle. Run as a command:

    python -m tests.benchmarks.load [--minutes 20] [--burst-minutes 2] [--backlog 10000000] [--bootstrap H:P]

The first part has its truths on the labels topic, ``--truths-behind`` instances after their instances, which are all
pending until then; a quarter more are kept for corrections. It measures the limit, in instances per second, from a
backlog; then 80 % of the limit for ``--minutes``; then three times the limit, and how long it takes to catch up. The
second part, a limit and the long backlog, has its truths in the instances. ``--minutes 0`` leaves out the first part,
``--backlog 0`` the second. Latency is the time from handing an instance to the producer until a read_committed consumer
receives its answer.
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
"""Upper bound of the bytes of a pending instance of this traffic."""
IDLE_SECONDS = 20.0
SAMPLE_SECONDS = 2.0


class Sample(NamedTuple):
    """Memory and lag of a worker at one moment."""

    resident_bytes: int
    lag_records: float
    lag_seconds: float


def _sample_until(worker: Worker, done: Callable[[float], bool]) -> list[Sample]:
    """Sample a worker until ``done`` returns True; it takes the seconds to wait between two samples."""
    samples = []
    while True:
        worker.check()
        lag = worker.gauge("lag_records"), worker.gauge("lag_seconds")
        samples.append(Sample(worker.resident_bytes(), *lag))
        if done(SAMPLE_SECONDS):
            return samples


def _send_at(feed: Feed, worker: Worker, rate: float, minutes: float) -> tuple[float, list[Sample]]:
    """Send at a rate while sampling the worker; return the rate reached, and the samples."""

    def ended(seconds: float) -> bool:
        wait_for([sending], seconds)
        return sending.done()

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(feed.send, rate, int(rate * minutes * 60))
        try:
            samples = _sample_until(worker, ended)
        except BaseException:
            feed.end()
            raise
    return sending.result(), samples


def _is_answered(answers: Answers, number: int) -> Callable[[float], bool]:
    return lambda seconds: answers.wait(number, seconds)


def _report(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Measure, print a line per figure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="address of a running broker (by default one is started)")
    parser.add_argument("--limit-records", type=int, default=60_000, help="instances of each limit (%(default)s)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of sustained load; 0: no first part (%(default)s)")
    parser.add_argument("--burst-minutes", type=float, default=2.0, help="of the burst (%(default)s)")
    parser.add_argument("--backlog", type=int, default=10_000_000, help="instances; 0: no second part (%(default)s)")
    parser.add_argument(
        "--truths-behind", type=int, default=500_000, help="delay of truths, in instances (%(default)s)"
    )
    add_history_option(parser)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    with broker(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        if options.minutes:
            _measure_late_truths(bootstrap, folder, options, figures)
        if options.backlog:
            _measure_backlog(bootstrap, folder, options, figures)
    keep("load", figures, options)


def _measure_late_truths(bootstrap: str, folder: str, options: argparse.Namespace, figures: dict[str, Figure]) -> None:
    name = f"load-{uuid.uuid4().hex[:8]}"
    settings = settings_for(bootstrap, name, folder, labels=f"{name}-labels")
    prepare_topics(settings)
    feed = Feed(settings, options.truths_behind)
    feed.send(count=options.truths_behind)
    pending = int(options.truths_behind * 1.25)
    bounds = [f"labels.pending_count={pending}", f"labels.pending_bytes={pending * PENDING_BYTES}"]
    limit = _measure_rate(feed, settings, options.limit_records, bounds)
    _report(f"limit, truths {options.truths_behind:,} instances later: {limit:,.0f} instances/s with their truths")
    figures["limit/truths late"] = Figure(limit, "instances/s", "higher")
    answers, worker = Answers(settings), Worker(settings, Path(folder), options=bounds)
    try:
        _measure_idle(worker, figures)
        _measure_sustained(feed, answers, worker, 0.8 * limit, options, figures)
        _measure_burst(feed, answers, worker, 3 * limit, options.burst_minutes, figures)
    finally:
        worker.stop()
        answers.close()


def _measure_backlog(bootstrap: str, folder: str, options: argparse.Namespace, figures: dict[str, Figure]) -> None:
    settings = settings_for(bootstrap, f"load-{uuid.uuid4().hex[:8]}", folder)
    prepare_topics(settings)
    feed = Feed(settings)
    limit = _measure_rate(feed, settings, options.limit_records)
    _report(f"limit, truths in the instances: {limit:,.0f} instances/s")
    figures["limit/truths in the instances"] = Figure(limit, "instances/s", "higher")
    rate = _measure_rate(feed, settings, options.backlog)
    _report(f"backlog of {options.backlog:,}: {rate:,.0f} instances/s, {rate / limit:.2f} of the limit")
    figures["backlog/rate"] = Figure(rate, "instances/s", "higher")


def _measure_rate(feed: Feed, settings: Settings, count: int, more: Sequence[str] = ()) -> float:
    """Send ``count`` instances, start a worker, and return the instances per second that it answers and learns."""
    first = len(feed.sent)
    feed.send(count=count)
    answers, worker = Answers(settings), Worker(settings, Path(settings.snapshot.location), options=more)
    try:
        _sample_until(worker, _is_answered(answers, len(feed.sent) - 1))
        worker.stop()
    finally:
        answers.close()
    moments = sorted(moment for number, moment in answers.received.items() if number >= first)
    # The worker is still loading kernels during its first batches.
    skipped = len(moments) // 5
    return (len(moments) - skipped) / (moments[-1] - moments[skipped])


def _measure_idle(worker: Worker, figures: dict[str, Figure]) -> None:
    pause = threading.Event()
    wait("an active worker without lag", lambda: worker.gauge("lag_records") == 0)
    pause.wait(SAMPLE_SECONDS)
    before = worker.cpu_seconds()
    pause.wait(IDLE_SECONDS)
    share = (worker.cpu_seconds() - before) / IDLE_SECONDS
    _report(f"idle: {share:.1%} of a core")
    figures["idle/share of a core"] = Figure(share, "", "lower")


def _measure_sustained(
    feed: Feed,
    answers: Answers,
    worker: Worker,
    rate: float,
    options: argparse.Namespace,
    figures: dict[str, Figure],
) -> None:
    first = len(feed.sent)
    _, samples = _send_at(feed, worker, rate, options.minutes)
    last = len(feed.sent) - 1
    _sample_until(worker, _is_answered(answers, last))
    p50, p99 = np.percentile(answers.latencies_ms(feed.sent, first, last), [50, 99])
    half = len(samples) // 2
    memory = [max(sample.resident_bytes for sample in part) / 2**20 for part in (samples[:half], samples[half:])]
    lag = [np.nanmax([sample.lag_records for sample in part]) for part in (samples[:half], samples[half:])]
    _report(
        f"sustained, {rate:,.0f}/s for {options.minutes:g} min, truths {options.truths_behind / rate:.0f} s late: "
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    _report(f"  memory in the first half {memory[0]:.0f} MiB, in the second {memory[1]:.0f} MiB")
    _report(f"  maximum lag in the first half {lag[0]:,.0f} records, in the second {lag[1]:,.0f}")
    figures["sustained/p50"] = Figure(float(p50), "ms", "lower")
    figures["sustained/p99"] = Figure(float(p99), "ms", "lower")
    figures["sustained/memory"] = Figure(memory[1], "MiB", "lower")
    figures["sustained/most records behind"] = Figure(float(max(lag)), "records", "lower")


def _measure_burst(
    feed: Feed, answers: Answers, worker: Worker, rate: float, minutes: float, figures: dict[str, Figure]
) -> None:
    reached, samples = _send_at(feed, worker, rate, minutes)
    last = len(feed.sent) - 1
    after = _sample_until(worker, _is_answered(answers, last))
    lag = np.nanmax([sample.lag_records for sample in [*samples, *after]])
    age = np.nanmax([sample.lag_seconds for sample in [*samples, *after]])
    seconds = answers.received[last] - feed.sent[last]
    _report(
        f"burst of {reached:,.0f}/s for {minutes:g} min (target {rate:,.0f}/s): lag up to {lag:,.0f} records "
        f"and {age:.0f} s, caught up {seconds:.0f} s after its end; "
        f"answered {len(answers.received):,} of {len(feed.sent):,}"
    )
    figures["burst/rate reached"] = Figure(reached, "instances/s", "neither")
    figures["burst/most records behind"] = Figure(float(lag), "records", "lower")
    figures["burst/seconds to catch up"] = Figure(seconds, "s", "lower")


if __name__ == "__main__":
    main()
