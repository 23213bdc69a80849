"""Detection delay, false alarms and recovery on streams whose drifts are known. Run as a command:

    python -m tests.benchmarks.drift [--each N] [--preset NAME] [--set section.key=value ...] [--json FILE]

Ten kinds of drift with N streams each (5: 50 drifts), and 10 N stationary streams of the same length, all from the
built-in generators, each with its own seed. The detectors:

- loss alarms: the learner's events of kind ``drift`` whose direction is ``worse``;
- all events: all its events that report a change, also of the partition and of trees that are reset; not labels that
  join, because the truth names these;
- river's ADWIN with its defaults on the learner's loss, alarms where the mean rose: on 1 - example F1 of the answer,
  and on the mean of |truth - probability| over labels;
- a detector that fires every 100 instances: the level of chance.

An alarm detects a drift if it is raised within `HORIZON` rows of the first row that the drift changes; the delay counts
from that row. Alarms in one row count once. Recovery counts rows from there to the first row after the lowest point
from which the mean example F1 of `SMOOTH` rows is at least 0.95 of its level: the mean before the drift, or at the end
of the horizon where that is lower.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

from river.drift import ADWIN

from streamlearn.model.stream_model import StreamModel
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic import Drift, GeneratedStream, generator
from streamlearn.streams.synthetic.drifting import PERIOD, Drifting
from streamlearn.streams.synthetic.meta_drift import DriftTarget, MetaDrift, MetaLabelStream, MetaLabelTurnover
from tests.benchmarks.figures import Better, Figure, add_history_option, keep

BEFORE = 2_000
HORIZON = 1_500
GRADUAL_ROWS = 600
SMOOTH = 200
LEVEL_ROWS = 500
RECOVERED = 0.95
EVERY = 100
BATCH = 500

DETECTORS = ("loss alarms", "all events", "ADWIN on 1 - F1", "ADWIN on error of p", f"every {EVERY}")


class Case(NamedTuple):
    """A stream up to the end of the horizon of its drift; ``drift`` is None for a stationary stream."""

    kind: str
    stream: GeneratedStream
    drift: Drift | None


class Trace(NamedTuple):
    """The results on a stream: the alarm rows of every detector, ascending, and the example F1 of every row."""

    case: Case
    alarms: Mapping[str, Sequence[int]]
    f1: Sequence[float]


def make_cases(each: int) -> Iterator[Case]:
    """Yield the streams with a drift, ``each`` per kind, then as many stationary streams."""
    for number in range(each):
        # Not a multiple of 100, so that the detector that fires every 100 rows is not on time by chance.
        period = BEFORE + 37 * (number + 1)
        seeds = itertools.count(100 * number)
        for what in get_args(DriftTarget):
            for how in ("sudden", "gradual"):
                drift = MetaDrift(what, how)
                make = partial(MetaLabelStream, next(seeds), drift=drift, period=period, duration=GRADUAL_ROWS)
                yield _case(f"{what}, {how}", make, 1)
        back = MetaDrift("features", "recurring")
        yield _case("features, back again", partial(MetaLabelStream, next(seeds), drift=back, period=period), 2)
        for nth, kind in enumerate(("label appears", "label retires"), 1):
            yield _case(kind, partial(MetaLabelTurnover, next(seeds), period=period), nth)
        yield _case("topics' label sets, sudden", partial(Drifting, next(seeds)), 1)
    for number in range(10 * each):
        name = "meta" if number % 2 else "stationary"
        yield Case(f"{name}, no drift", generator(name, seed=10_000 + number, instances=BEFORE + HORIZON), None)


def _case(kind: str, make: Callable[[int], GeneratedStream], nth: int) -> Case:
    """Return the case of a stream's n-th drift, counted from 1."""
    drift = make(4 * PERIOD).drifts[nth - 1]
    return Case(kind, make(drift.row + HORIZON), drift)


def run_case(case: Case, settings: Settings) -> Trace:
    """Evaluate the learner on a stream, prequentially, together with every detector."""
    model = StreamModel(settings)
    adwins = {"ADWIN on 1 - F1": ADWIN(), "ADWIN on error of p": ADWIN()}
    alarms: dict[str, set[int]] = {name: set() for name in DETECTORS}
    f1: list[float] = []
    rows: list[StreamRow] = []

    def run() -> None:
        first = len(f1)
        batch = model.new_batch()
        for row in rows:
            assert row.y is not None
            batch.predict_and_learn(row.x, row.y)
        result = model.apply(batch)
        for event in result.events:
            if event.kind != "label" and (event.direction == "worse" or event.kind != "drift"):
                alarms["all events"].add(first + event.op)
            if event.direction == "worse" and event.kind == "drift":
                alarms["loss alarms"].add(first + event.op)
        for op, row in enumerate(rows):
            f1.append(example_f1(set(row.y or ()), set(result.labels(op))))
            losses = (1.0 - f1[-1], mean_error(set(row.y or ()), result.scores(op)))
            for (name, adwin), loss in zip(adwins.items(), losses, strict=True):
                mean = adwin.estimation
                adwin.update(loss)
                if adwin.drift_detected and adwin.estimation > mean:
                    alarms[name].add(first + op)
        rows.clear()

    for row in case.stream:
        rows.append(row)
        if len(rows) == BATCH:
            run()
    run()
    alarms[f"every {EVERY}"] = set(range(EVERY, len(f1), EVERY))
    return Trace(case, {name: sorted(found) for name, found in alarms.items()}, f1)


def example_f1(truth: set[str], answer: set[str]) -> float:
    """Return the F1 of one answer; 1 where both are empty."""
    return 2 * len(truth & answer) / (len(truth) + len(answer)) if truth or answer else 1.0


def mean_error(truth: set[str], scores: Mapping[str, float]) -> float:
    """Return the mean of |truth - probability| over the labels that have a probability; 0 where none has."""
    return sum(abs((name in truth) - score) for name, score in scores.items()) / max(len(scores), 1)


def detection_delay(alarms: Sequence[int], drift: Drift) -> int | None:
    """Return the rows from the first row that a drift changes to the first alarm; None for a missed drift."""
    return next((alarm - drift.row for alarm in alarms if drift.row <= alarm < drift.row + HORIZON), None)


def recovery_rows(f1: Sequence[float], drift: Drift) -> int | None:
    """Return the rows until the learner is back at its level; 0 if it never leaves it, None if it does not recover."""
    level = min(statistics.fmean(f1[max(drift.row - LEVEL_ROWS, 0) : drift.row]), statistics.fmean(f1[-LEVEL_ROWS:]))
    means = [statistics.fmean(f1[row : row + SMOOTH]) for row in range(drift.row, len(f1) - SMOOTH + 1)]
    # A gradual drift lowers F1 late: recovery counts from the lowest point.
    lowest = min(range(len(means)), key=means.__getitem__)
    if means[lowest] >= RECOVERED * level:
        return 0
    return next((row for row in range(lowest, len(means)) if means[row] >= RECOVERED * level), None)


def summarize_detectors(traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """Return one row per detector: drifts detected, delays, and alarms on the stationary streams."""
    drifting = [trace for trace in traces if trace.case.drift is not None]
    stationary = [trace for trace in traces if trace.case.drift is None]
    stationary_rows = sum(len(trace.f1) for trace in stationary)
    found = []
    for name in DETECTORS:
        delays = [
            detection_delay(trace.alarms[name], trace.case.drift) for trace in drifting if trace.case.drift is not None
        ]
        hit = sorted(each for each in delays if each is not None)
        false = [len(trace.alarms[name]) for trace in stationary]
        found.append(
            {
                "detector": name,
                "drifts": len(delays),
                "detected": len(hit),
                "delay_median": statistics.median(hit) if hit else None,
                "delay_90": hit[(9 * len(hit)) // 10] if hit else None,
                "false_per_1000": 1_000 * sum(false) / stationary_rows,
                "silent_streams": sum(count == 0 for count in false),
                "stationary_streams": len(false),
            }
        )
    return found


def summarize_kinds(traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """Return one row per kind of drift: detections and median delay of four detectors, and the learner's recovery."""
    found = []
    for kind in dict.fromkeys(trace.case.kind for trace in traces if trace.case.drift is not None):
        own = [(trace, trace.case.drift) for trace in traces if trace.case.kind == kind and trace.case.drift]
        row: dict[str, Any] = {"kind": kind, "drifts": len(own)}
        for name in DETECTORS[:4]:
            delays = [each for trace, drift in own if (each := detection_delay(trace.alarms[name], drift)) is not None]
            row[name] = f"{len(delays)}" + (f", {statistics.median(delays):.0f}" if delays else "")
        row["F1 before"] = statistics.fmean(statistics.fmean(t.f1[d.row - LEVEL_ROWS : d.row]) for t, d in own)
        row["F1 after"] = statistics.fmean(statistics.fmean(t.f1[d.row : d.row + LEVEL_ROWS]) for t, d in own)
        back = [recovery_rows(trace.f1, drift) for trace, drift in own]
        row["recovered"] = sum(each is not None for each in back)
        row["recovery_median"] = statistics.median([HORIZON if each is None else each for each in back])
        found.append(row)
    return found


def make_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    """Return the figures of what `summarize_detectors` returns; missing medians are left out."""
    better: dict[str, tuple[str, Better]] = {
        "detected": ("drifts", "higher"),
        "delay_median": ("rows", "lower"),
        "delay_90": ("rows", "lower"),
        "false_per_1000": ("alarms per 1,000 rows", "lower"),
        "silent_streams": ("streams", "higher"),
    }
    return {
        f"{row['detector']}/{name}": Figure(float(row[name]), unit, direction)
        for row in rows
        for name, (unit, direction) in better.items()
        if row[name] is not None
    }


def write_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to standard output as a Markdown table."""

    def text(value: Any) -> str:
        return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(text(row[name]) for name in names) + " |" for row in rows]
    sys.stdout.write("\n".join(lines) + "\n\n")


def measure(each: int, settings: Settings) -> list[Trace]:
    """Return the traces of all streams; progress goes to standard error."""
    warm_up(settings)
    traces = []
    for number, case in enumerate(make_cases(each), 1):
        traces.append(run_case(case, settings))
        sys.stderr.write(f"\r{number} of {20 * each} streams")
    sys.stderr.write("\n")
    return traces


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the tables as Markdown, and keep the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--each", type=int, default=5, help="streams per kind of drift, of ten kinds (%(default)s)")
    parser.add_argument("--preset", default="default", help="preset of the learner (%(default)s)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], help="SECTION.KEY=VALUE, can be repeated"
    )
    parser.add_argument(
        "--json", type=Path, help="file for the alarms and F1 of every stream, one JSON object per line"
    )
    add_history_option(parser)
    options = parser.parse_args(arguments)
    # The probabilities of all labels, for the loss of probabilities.
    flags = [*options.settings, f"learner.preset={options.preset}", "learner.scores_top=1000"]
    traces = measure(options.each, load_settings(None, flags).settings)
    detectors = summarize_detectors(traces)
    write_table(detectors)
    write_table(summarize_kinds(traces))
    keep("drift", make_figures(detectors), options)
    if options.json is not None:
        with options.json.open("w", encoding="utf-8") as file:
            for trace in traces:
                drift = None if trace.case.drift is None else trace.case.drift._asdict()
                record = {"kind": trace.case.kind, "seed": trace.case.stream.seed, "drift": drift}
                file.write(json.dumps(record | {"alarms": trace.alarms, "f1": trace.f1}) + "\n")


if __name__ == "__main__":
    main()
