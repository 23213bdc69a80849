"""Terminal table of evaluation reports."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from streamlearn.evaluation.prequential import Report
from streamlearn.printable import printable
from streamlearn.terminal import console

_COLUMNS = {
    "subset_accuracy": "subset",
    "hamming_loss": "Hamming",
    "example_f1": "example F1",
    "example_jaccard": "Jaccard",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "calibration_error": "ECE",
}


MIN_WIDTH = 136
"""Text columns that the table needs; a narrower terminal wraps the lines instead of cutting digits."""


def print_reports(reports: Sequence[Report]) -> None:
    """Print the table of reports on standard output; nothing without reports."""
    if reports:
        console(least_width=MIN_WIDTH).print(report_table(reports))


def report_table(reports: Sequence[Report]) -> Table:
    """Return a table with one row per report, and a row of means if there are several."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stream", overflow="fold")
    for name in ("instances", "features", "labels", *_COLUMNS.values(), "instances/s"):
        table.add_column(name, justify="right")
    for report in reports:
        table.add_row(
            printable(report.stream),
            f"{report.instances:,}",
            f"{report.features:,}",
            f"{report.labels:,}",
            *(_value_text(report.measures[name]) for name in _COLUMNS),
            f"{report.instances_per_second:,.0f}",
        )
    if len(reports) > 1:
        means = []
        for name in _COLUMNS:
            values = [value for report in reports if (value := report.measures[name]) is not None]
            means.append(_value_text(sum(values) / len(values) if values else None))
        table.add_row("mean", "", "", "", *means, "", style="bold")
    return table


def _value_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
