"""Terminal tables of a comparison of learners."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from streamlearn.evaluation.ranking import SIGNIFICANCE, Ranking
from streamlearn.evaluation.report_table import MIN_WIDTH
from streamlearn.printable import printable
from streamlearn.terminal import console


def print_rankings(rankings: Sequence[Ranking], streams: int) -> None:
    """Print the table of means and mean ranks, followed by the significance tests, on standard output."""
    out = console(least_width=MIN_WIDTH)
    out.print(ranking_table(rankings))
    out.print()
    for ranking in rankings:
        out.print(verdict(ranking, streams), highlight=False, soft_wrap=True)


def ranking_table(rankings: Sequence[Ranking]) -> Table:
    """Return a table with one row per learner, best overall rank first; a cell holds a mean and a mean rank."""
    table = Table(box=None, pad_edge=False)
    table.add_column("mean (mean rank)", overflow="fold")
    for ranking in rankings:
        table.add_column(ranking.measure.title, justify="right")
    for learner in overall_order(rankings):
        cells: list[str | Text] = []
        for ranking in rankings:
            if learner not in ranking.learners:
                cells.append("-")
                continue
            index = ranking.learners.index(learner)
            style = "bold" if index == 0 else "none"
            cells.append(Text(f"{ranking.means[index]:.4f} ({ranking.ranks[index]:.2f})", style))
        table.add_row(printable(learner), *cells)
    return table


def overall_order(rankings: Sequence[Ranking]) -> list[str]:
    """Return the learners ordered by the mean of their mean ranks, best first."""
    ranks: dict[str, list[float]] = {}
    for ranking in rankings:
        for learner, value in zip(ranking.learners, ranking.ranks, strict=True):
            ranks.setdefault(learner, []).append(value)
    return sorted(ranks, key=lambda learner: (sum(ranks[learner]) / len(ranks[learner]), learner))


def verdict(ranking: Ranking, streams: int) -> str:
    """Return one line with the significance tests of one measure."""
    used = len(ranking.streams)
    text = f"{ranking.measure.title}: {used} of {streams} streams, {len(ranking.learners)} learners"
    if ranking.p_value is not None:
        text += f"; Friedman chi-square {ranking.statistic:.2f}, p = {ranking.p_value:.2g}"
    else:
        text += "; the Friedman test needs three learners and two streams"
    if ranking.critical_difference is not None:
        text += f"; Nemenyi critical difference {ranking.critical_difference:.2f} at {SIGNIFICANCE:.0%}"
    return text
