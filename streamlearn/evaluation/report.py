"""HTML report of a comparison: a single page without other files or network access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from streamlearn._version import __version__
from streamlearn.errors import UsageError
from streamlearn.evaluation.comparison_table import overall_order, verdict
from streamlearn.evaluation.prequential import Report
from streamlearn.evaluation.ranking import MEASURES, Measure, Ranking
from streamlearn.evaluation.results import Result, learner_name
from streamlearn.streams.synthetic import GENERATORS, Drift, generator

CURVES = ("subset_accuracy", "example_f1")
PROBABILITY_MEASURES = (
    Measure("log_loss", "log loss", False),
    Measure("calibration_error", "expected calibration error", False),
)
"""Measures of probabilities, which are shown but not ranked, since few learners give probabilities."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .15rem .7rem; text-align: right }
th { border-bottom: 1px solid #888 } th:first-child, td:first-child { text-align: left }
td.best { font-weight: 600 } figure { margin: 1rem 0 } svg { max-width: 100%; height: auto }
.scroll { overflow-x: auto } p.note { color: #555 }
"""


class Comparison(NamedTuple):
    """A comparison: results, their rankings, the reports of our own runs, which have curves, and the command."""

    results: Sequence[Result]
    rankings: Sequence[Ranking]
    reports: Sequence[Report]
    command: str = ""


def check_plots() -> None:
    """Raise `UsageError` when matplotlib is not installed."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--report: matplotlib is not installed; install it with pip install 'streamlearn[report]'")


def html_report(comparison: Comparison) -> str:
    """Return the page.

    It has the command, ranks with critical-difference diagrams, all values, the settings of each learner, and for every
    stream its labels, curves and calibration.
    """
    from streamlearn.evaluation import plots

    streams = list(dict.fromkeys(result.stream for result in comparison.results))
    learners = overall_order(comparison.rankings)
    parts = [_rank_table(comparison.rankings, learners)]
    for ranking in comparison.rankings:
        parts += [
            f"<h3>{escape(ranking.measure.title)}</h3><p>{escape(verdict(ranking, len(streams)))}.</p>",
            f"<figure>{plots.critical_difference_diagram(ranking)}</figure>",
        ]
    parts.append("<h2>Every stream</h2>")
    for measure in (*MEASURES, *PROBABILITY_MEASURES):
        values = {
            (result.stream, result.learner): result.measures[measure.name]
            for result in comparison.results
            if measure.name in result.measures
        }
        if values:
            best = max if measure.higher_is_better else min
            parts.append(f"<h3>{escape(measure.title)}</h3>{_value_table(values, streams, learners, best)}")
    if comparison.reports:
        parts.append(_settings_table(comparison.reports))
        parts.append(
            "<h2>Prequential curves</h2><p class=note>A point has the value over the rows since the point before. "
            "Grey: a known drift, from its first row until it is complete. Marks along the lower edge: drift alarms of "
            "streamlearn.</p>"
        )
    by_measure = {measure.name: measure for measure in (*MEASURES, *PROBABILITY_MEASURES)}
    order = list(dict.fromkeys(learner_name(report) for report in comparison.reports))
    for stream in dict.fromkeys(report.stream for report in comparison.reports):
        own = [report for report in comparison.reports if report.stream == stream]
        parts.append(f"<h3>{escape(stream)}</h3><p class=note>{escape(_stream_note(own))}</p>")
        with_probabilities = [report for report in own if report.calibration]
        figures = [plots.curves(own, by_measure[name], known_drifts(own[0]), order) for name in CURVES]
        if with_probabilities:
            figures.append(plots.curves(with_probabilities, by_measure["log_loss"], known_drifts(own[0]), order))
            figures.append(plots.reliability_diagram(with_probabilities, order))
        parts += [f"<figure>{figure}</figure>" for figure in figures]
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
        'content="width=device-width, initial-scale=1"><title>Comparison of stream learners</title>'
        f"<style>{_STYLE}</style></head><body><h1>Comparison of stream learners</h1>"
        f"<p>{len(learners)} learners on {len(streams)} streams, prequential: each instance is predicted, scored, "
        f"then learnt. Written by streamlearn {escape(__version__)}.</p>{_command_line(comparison.command)}"
        f"{''.join(parts)}</body></html>\n"
    )


def _command_line(command: str) -> str:
    return f"<pre class=scroll>{escape(command)}</pre>" if command else ""


def _settings_table(reports: Sequence[Report]) -> str:
    """Return the settings that differ from the defaults, of each learner."""
    rows = {
        (learner_name(report), report.seed, name, str(value))
        for report in reports
        for name, value in (report.settings or {"": "all defaults"}).items()
    }
    cells = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in sorted(rows, key=str)
    )
    return (
        "<h2>Settings</h2><p class=note>Those that differ from the defaults.</p><div class=scroll><table>"
        f"<tr><th>learner</th><th>seed</th><th>setting</th><th>value</th></tr>{cells}</table></div>"
    )


def known_drifts(report: Report) -> list[Drift]:
    """Return the known drifts of a report's stream: those of a built-in stream, none for a file."""
    name = report.stream.removeprefix("synthetic:")
    if name == report.stream or name not in GENERATORS:
        return []
    return generator(name, seed=report.seed, instances=report.instances).drifts


def _rank_table(rankings: Sequence[Ranking], learners: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(ranking.measure.title)}</th>" for ranking in rankings)
    rows = []
    for learner in learners:
        cells = []
        for ranking in rankings:
            index = ranking.learners.index(learner) if learner in ranking.learners else None
            if index is None:
                cells.append("<td>-</td>")
            else:
                best = " class=best" if index == 0 else ""
                cells.append(f"<td{best}>{ranking.means[index]:.4f} ({ranking.ranks[index]:.2f})</td>")
        rows.append(f"<tr><td>{escape(learner)}</td>{''.join(cells)}</tr>")
    return (
        "<h2>Means and mean ranks</h2><p class=note>Rank 1 is the best; bold is the best mean rank.</p>"
        f"<div class=scroll><table><tr><th>learner</th>{head}</tr>{''.join(rows)}</table></div>"
    )


def _value_table(
    values: dict[tuple[str, str], float],
    streams: Sequence[str],
    learners: Sequence[str],
    best: Callable[[Sequence[float]], float],
) -> str:
    head = "".join(f"<th>{escape(learner)}</th>" for learner in learners)
    rows = []
    for stream in streams:
        row = [values.get((stream, learner)) for learner in learners]
        present = [value for value in row if value is not None]
        if not present:
            continue
        best_value = best(present)
        cells = "".join(
            "<td>-</td>" if value is None else f"<td{' class=best' if value == best_value else ''}>{value:.4f}</td>"
            for value in row
        )
        rows.append(f"<tr><td>{escape(stream)}</td>{cells}</tr>")
    return f"<div class=scroll><table><tr><th>stream</th>{head}</tr>{''.join(rows)}</table></div>"


def _stream_note(reports: Sequence[Report]) -> str:
    first = reports[0]
    text = f"{first.instances:,} instances, {first.labels:,} labels, seed {first.seed}."
    if first.labels_from:
        more = ", ..." if first.labels > len(first.label_names) else ""
        text += f" Labels from {first.labels_from}: {', '.join(first.label_names)}{more}."
    rates = ", ".join(f"{learner_name(report)} {report.instances_per_second:,.0f}" for report in reports)
    remarks = "".join(f" {learner_name(report)}: {remark}" for report in reports for remark in report.remarks)
    return f"{text} Instances per second: {rates}.{remarks}"
