"""The demo's summary: the learner beside naive baselines, before and after every known drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from streamlearn.evaluation.baselines import baseline
from streamlearn.evaluation.baselines.majority import positives
from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic import Drift, GeneratedStream

BEFORE = 1_000
AFTER = 500
AFTER_WINDOWS = 2
BASELINES = ("majority", "last")


class Span(NamedTuple):
    """Rows ``start`` to ``end``, without ``end``, and what they lie before or after."""

    name: str
    start: int
    end: int


def spans(drifts: Sequence[Drift], rows: int) -> list[Span]:
    """Return the windows before and after each drift that lie within the rows, cut at the drifts beside; then all."""
    made: list[Span] = []
    places = [0, *(drift.row for drift in drifts), rows]
    for place, drift in enumerate(drifts, start=1):
        if drift.row >= rows:
            break
        what = drift.what if drift.what == "label appears" else f"{drift.what} change"
        start = max(places[place - 1], drift.row - BEFORE)
        made.append(Span(f"before {what}", start, drift.row))
        for number in range(AFTER_WINDOWS):
            first = drift.row + number * AFTER
            last = min(first + AFTER, places[place + 1], rows)
            if first < last:
                made.append(Span("after" if number == 0 else "then", first, last))
    made.append(Span("all rows", 0, rows))
    return made


def scores(answers: Sequence[Sequence[str]], truths: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return the mean subset accuracy and the mean example F1; an empty answer to an empty truth is right."""
    hits = 0
    total = 0.0
    for answer, truth in zip(answers, truths, strict=True):
        emitted, true = set(answer), set(truth)
        hits += emitted == true
        size = len(emitted) + len(true)
        total += 2 * len(emitted & true) / size if size else 1.0
    return hits / len(truths), total / len(truths)


def summary(stream: GeneratedStream, rows: Sequence[StreamRow], answers: Sequence[Sequence[str]]) -> Table:
    """Return a table of subset accuracy and example F1 of the learner and the baselines, on the rows answered."""
    rows = rows[: len(answers)]
    truths = [positives(row.y or ()) for row in rows]
    by_learner = {"streamlearn": answers, **{name: _baseline_answers(name, rows) for name in BASELINES}}
    table = Table(title="subset accuracy / example F1, every row predicted before it is learnt")
    table.add_column("rows", overflow="fold")
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    for name in by_learner:
        table.add_column(name, justify="right", no_wrap=True)
    if not rows:
        return table
    for span in spans(stream.drifts, len(rows)):
        part = slice(span.start, span.end)
        cells = ["{:.3f} / {:.3f}".format(*scores(answered[part], truths[part])) for answered in by_learner.values()]
        table.add_row(span.name, f"{span.start:,}", f"{span.end - 1:,}", *cells, end_section=span.name == "then")
    return table


def _baseline_answers(name: str, rows: Sequence[StreamRow]) -> list[list[str]]:
    learner = baseline(name)
    answers = []
    for row in rows:
        answers.append(list(learner.predict(row.x)))
        if row.y is not None:
            learner.learn(row.x, row.y)
    return answers
