"""Mean ranks of learners over streams, the Friedman test and the Nemenyi critical difference.

Source: Demsar, *Statistical comparisons of classifiers over multiple data sets* (Journal of Machine Learning Research
7, 2006), sections 3.2.2 to 3.2.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from streamlearn.evaluation.results import Result

SIGNIFICANCE = 0.05


class Measure(NamedTuple):
    """A measure: its name, its title, and whether higher values are better."""

    name: str
    title: str
    higher_is_better: bool


MEASURES = (
    Measure("subset_accuracy", "subset accuracy", True),
    Measure("hamming_loss", "Hamming loss", False),
    Measure("example_f1", "example F1", True),
    Measure("example_jaccard", "example Jaccard", True),
    Measure("micro_f1", "micro F1", True),
    Measure("macro_f1", "macro F1", True),
)


class Ranking(NamedTuple):
    """Learners ordered by mean rank on one measure, best first.

    ``means`` and ``ranks`` are the means of the measure and the mean ranks, in the order of ``learners``, over
    ``streams``: those on which every learner has a value. The best has rank 1; ties share the mean of their ranks.
    ``statistic`` and ``p_value`` are those of the Friedman test, None for fewer than three learners or two streams;
    ``critical_difference`` is Nemenyi's at 5 %, None for fewer than two streams.
    """

    measure: Measure
    learners: list[str]
    means: list[float]
    ranks: list[float]
    streams: list[str]
    statistic: float | None
    p_value: float | None
    critical_difference: float | None

    def groups(self) -> list[tuple[int, int]]:
        """Return the maximal groups that the critical difference does not separate, as first and last learner index."""
        if self.critical_difference is None:
            return []
        groups: list[tuple[int, int]] = []
        for first in range(len(self.ranks)):
            last = first
            while last + 1 < len(self.ranks) and self.ranks[last + 1] - self.ranks[first] <= self.critical_difference:
                last += 1
            if last > first and (not groups or last > groups[-1][1]):
                groups.append((first, last))
        return groups


def rank(results: Sequence[Result], measure: Measure) -> Ranking | None:
    """Return the ranking of learners on a measure; None without two learners that share a stream."""
    values: dict[str, dict[str, float]] = {}
    for result in results:
        row = values.setdefault(result.learner, {})
        if measure.name in result.measures:
            row[result.stream] = result.measures[measure.name]
    learners = [learner for learner, row in values.items() if row]
    streams = [
        stream
        for stream in dict.fromkeys(result.stream for result in results)
        if all(stream in values[learner] for learner in learners)
    ]
    if len(learners) < 2 or not streams:
        return None
    from scipy import stats

    table = [[values[learner][stream] for learner in learners] for stream in streams]
    sign = -1.0 if measure.higher_is_better else 1.0
    ranks = [stats.rankdata([sign * value for value in row]).tolist() for row in table]
    mean_ranks = [sum(column) / len(streams) for column in zip(*ranks, strict=True)]
    means = [sum(column) / len(streams) for column in zip(*table, strict=True)]
    order = sorted(range(len(learners)), key=lambda index: (mean_ranks[index], index))
    statistic, p_value = _friedman(ranks)
    return Ranking(
        measure,
        [learners[index] for index in order],
        [means[index] for index in order],
        [mean_ranks[index] for index in order],
        streams,
        statistic,
        p_value,
        critical_difference(len(learners), len(streams)) if len(streams) > 1 else None,
    )


def _friedman(ranks: Sequence[Sequence[float]]) -> tuple[float | None, float | None]:
    """Return the Friedman statistic and its p-value; 0 and 1 if all learners are tied on all streams."""
    if len(ranks) < 2 or len(ranks[0]) < 3:
        return None, None
    if all(len(set(row)) == 1 for row in ranks):
        return 0.0, 1.0
    from scipy import stats

    statistic, p_value = stats.friedmanchisquare(*zip(*ranks, strict=True))
    return float(statistic), float(p_value)


def critical_difference(learners: int, streams: int, significance: float = SIGNIFICANCE) -> float:
    """Return Nemenyi's critical difference of mean ranks: q sqrt(k (k + 1) / 6 N) for k learners on N streams.

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    from scipy import stats

    q = float(stats.studentized_range.ppf(1.0 - significance, learners, math.inf)) / math.sqrt(2.0)
    return q * math.sqrt(learners * (learners + 1) / (6.0 * streams))


def rankings(results: Sequence[Result]) -> list[Ranking]:
    """Return the rankings of all measures that can be ranked."""
    return [ranking for measure in MEASURES if (ranking := rank(results, measure)) is not None]
