"""Plots of a comparison as SVG text, drawn with matplotlib (extra ``[report]``).

The critical-difference diagram is that of Demsar, *Statistical comparisons of classifiers over multiple data sets*
(Journal of Machine Learning Research 7, 2006), figure 1.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from streamlearn.evaluation.prequential import Report
from streamlearn.evaluation.ranking import Measure, Ranking
from streamlearn.evaluation.results import learner_name
from streamlearn.streams.synthetic import Drift

# Text stays text in the SVG, and equal plots give equal files.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "streamlearn",
    "font.size": 9.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
}
WIDTH = 8.5
COLOURS = 10
LEAST_WINDOWS = 20
"""A curve with fewer windows is drawn by the shorter spans of `streamlearn.evaluation.curve`."""


def curve_points(report: Report, measure: str) -> list[tuple[int, float]]:
    """Return the points of a curve: the last row of each window or, on a short stream, of each shorter span."""
    spans: Sequence[Mapping[str, Any]] = report.windows
    if len(report.windows) < LEAST_WINDOWS and len(report.curve) > len(report.windows):
        spans = report.curve
    return [(span["to"], value) for span in spans if (value := span["measures"].get(measure)) is not None]


def curves(reports: Sequence[Report], measure: Measure, drifts: Sequence[Drift], order: Sequence[str]) -> str:
    """Return the prequential curves of one stream, with the points of `curve_points`.

    Known drifts are shaded from their first row until they are complete. Rows at which streamlearn raised a drift alarm
    are marks along the lower edge, in the colour of its curve. ``order`` lists all learners and fixes their colours.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for report in reports:
            name = learner_name(report)
            points = curve_points(report, measure.name)
            index = order.index(name)
            colour, style = f"C{index % COLOURS}", ("-", "--", ":")[index // COLOURS % 3]
            axes.plot(
                *zip(*points, strict=True) if points else ([], []),
                style,
                color=colour,
                label=name,
                lw=1.4,
                ms=3,
                marker=".",
            )
            if report.alarms:
                axes.plot(
                    report.alarms, [0.01] * len(report.alarms), "|", color=colour, ms=9,
                    transform=axes.get_xaxis_transform(), label=f"{name}: alarm",
                )  # fmt: skip
        for index, drift in enumerate(drifts):
            axes.axvspan(
                drift.row, max(drift.complete, drift.row + 1), color="0.5", alpha=0.25, lw=1.0,
                label="known drift" if index == 0 else None,
            )  # fmt: skip
            axes.annotate(
                drift.what, (drift.row, 1.0), xycoords=("data", "axes fraction"), fontsize=7, color="0.35",
                ha="left", va="bottom", rotation=12,
            )  # fmt: skip
        axes.set_xlabel("instances")
        axes.set_ylabel(measure.title)
        axes.set_xlim(left=0)
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        return _svg(figure)


def reliability_diagram(reports: Sequence[Report], order: Sequence[str]) -> str:
    """Return the calibration of one stream's learners: in each bin of probabilities, the share of true labels."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 2, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.6", lw=0.8)
        for report in reports:
            name = learner_name(report)
            axes.plot(
                [each["probability"] for each in report.calibration], [each["true"] for each in report.calibration],
                marker=".", lw=1.2, color=f"C{order.index(name) % COLOURS}", label=name,
            )  # fmt: skip
        axes.set_xlabel("mean probability of a bin")
        axes.set_ylabel("share of true labels")
        axes.legend(fontsize=7, frameon=False)
        return _svg(figure)


def critical_difference_diagram(ranking: Ranking) -> str:
    """Return the critical-difference diagram of a ranking.

    Learners are at their mean ranks, the best at the right; bars join groups that the critical difference does not
    separate.
    """
    count = len(ranking.learners)
    groups = ranking.groups()
    right = math.ceil(count / 2)
    lines = max(right, count - right)
    height = 1.0 + 0.22 * lines + 0.13 * len(groups)
    low, high = 1, max(count, 2)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.24, 0.02, 0.52, 0.96))
        axes.set_xlim(high, low)
        axes.set_ylim(-(0.5 + 0.13 / 0.22 * len(groups) + lines), 2.4)
        axes.axis("off")
        axes.plot([high, low], [0, 0], color="black", lw=1.0)
        for tick in range(low, high + 1):
            axes.plot([tick, tick], [0, 0.25], color="black", lw=1.0)
            axes.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=8)
        if ranking.critical_difference is not None:
            end = min(low + ranking.critical_difference, high)
            axes.plot([low, end], [1.7, 1.7], color="black", lw=1.6)
            axes.text(
                (low + end) / 2, 1.8, f"critical difference {ranking.critical_difference:.2f}", ha="center", fontsize=8
            )
        depth = 0.35
        for first, last in groups:
            axes.plot([ranking.ranks[first], ranking.ranks[last]], [-depth, -depth], color="tab:red", lw=3.0)
            depth += 0.13 / 0.22
        for index, (learner, value) in enumerate(zip(ranking.learners, ranking.ranks, strict=True)):
            at_right = index < right
            level = -(depth + 0.3 + (index if at_right else count - 1 - index))
            edge = low if at_right else high
            axes.plot([value, value, edge], [0, level, level], color="0.4", lw=0.8, clip_on=False)
            text = f" {value:.2f}  {learner}" if at_right else f"{learner}  {value:.2f} "
            axes.text(edge, level, text, ha="left" if at_right else "right", va="center", fontsize=8)
        return _svg(figure)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # XML declaration and document type are not allowed inside an HTML page.
    return text[text.index("<svg") :]
