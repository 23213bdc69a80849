"""Summary table of the demo: the learner beside naive baselines, before and after each known drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from streamlearn.evaluation.baselines import baseline
from streamlearn.evaluation.baselines.majority import positive_labels
from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic import Drift, GeneratedStream

ROWS_BEFORE = 1_000
ROWS_AFTER = 500
"""Rows of each window after a drift."""
WINDOWS_AFTER = 2
BASELINES = ("majority", "last")


class Span(NamedTuple):
    """Rows ``start`` to ``end`` (exclusive), with a name that says how they relate to a drift."""

    name: str
    start: int
    end: int


def drift_spans(drifts: Sequence[Drift], rows: int) -> list[Span]:
    """Return the spans before and after each drift, then one over all rows.

    Spans end at the neighbouring drifts and at ``rows``; drifts at or after ``rows`` have none.
    """
    spans: list[Span] = []
    boundaries = [0, *(drift.row for drift in drifts), rows]
    for index, drift in enumerate(drifts, start=1):
        if drift.row >= rows:
            break
        what = drift.what if drift.what == "label appears" else f"{drift.what} change"
        spans.append(Span(f"before {what}", max(boundaries[index - 1], drift.row - ROWS_BEFORE), drift.row))
        for window in range(WINDOWS_AFTER):
            start = drift.row + window * ROWS_AFTER
            end = min(start + ROWS_AFTER, boundaries[index + 1], rows)
            if start < end:
                spans.append(Span("after" if window == 0 else "then", start, end))
    spans.append(Span("all rows", 0, rows))
    return spans


def mean_scores(answers: Sequence[Sequence[str]], truths: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return the mean subset accuracy and the mean example F1; an empty answer to an empty truth has F1 1."""
    hits = 0
    total_f1 = 0.0
    for answer, truth in zip(answers, truths, strict=True):
        emitted, true = set(answer), set(truth)
        hits += emitted == true
        size = len(emitted) + len(true)
        total_f1 += 2 * len(emitted & true) / size if size else 1.0
    return hits / len(truths), total_f1 / len(truths)


def summary_table(stream: GeneratedStream, rows: Sequence[StreamRow], answers: Sequence[Sequence[str]]) -> Table:
    """Return a table of subset accuracy and example F1 of the learner and the baselines.

    Parameters
    ----------
    stream:
        The stream, with its known drifts.
    rows:
        Its rows; those beyond the answers are left out.
    answers:
        The learner's label sets of the first rows.
    """
    rows = rows[: len(answers)]
    truths = [positive_labels(row.y or ()) for row in rows]
    by_learner = {"streamlearn": answers, **{name: _baseline_answers(name, rows) for name in BASELINES}}
    table = Table(title="subset accuracy / example F1, each row predicted before it is learnt")
    table.add_column("rows", overflow="fold")
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    for name in by_learner:
        table.add_column(name, justify="right", no_wrap=True)
    if not rows:
        return table
    for span in drift_spans(stream.drifts, len(rows)):
        part = slice(span.start, span.end)
        cells = [
            "{:.3f} / {:.3f}".format(*mean_scores(label_sets[part], truths[part])) for label_sets in by_learner.values()
        ]
        table.add_row(span.name, f"{span.start:,}", f"{span.end - 1:,}", *cells, end_section=span.name == "then")
    return table


def _baseline_answers(name: str, rows: Sequence[StreamRow]) -> list[list[str]]:
    """Return the label sets of a baseline that predicts each row and then learns it."""
    learner = baseline(name)
    answers = []
    for row in rows:
        answers.append(list(learner.predict(row.x)))
        if row.y is not None:
            learner.learn(row.x, row.y)
    return answers
