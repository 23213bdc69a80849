"""Ranks and significance tests, against published and hand-made figures."""

from __future__ import annotations

from typing import Any

import pytest

from streamlearn.evaluation.ranking import MEASURES, Ranking, critical_difference, rank, rankings
from streamlearn.evaluation.results import Result

ACCURACY, HAMMING = MEASURES[0], MEASURES[1]

# Table 6 of Demsar (2006): C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets.
DEMSAR = """
.763 .768 .771 .798
.599 .591 .590 .569
.954 .971 .968 .967
.628 .661 .654 .657
.882 .888 .886 .898
.936 .931 .916 .931
.661 .668 .609 .685
.583 .583 .563 .625
.775 .838 .866 .875
1.000 1.000 1.000 1.000
.940 .962 .965 .962
.619 .666 .614 .669
.972 .981 .9751 .975
.957 .978 .946 .970
"""


def parse_results(table: str, learners: str, measure: str = "subset_accuracy") -> list[Result]:
    """Return the results in a table with one row per stream; - is a missing value."""
    return [
        Result(learner, f"stream {number}", {measure: float(text)})
        for number, line in enumerate(table.strip().splitlines())
        for learner, text in zip(learners.split(), line.split(), strict=True)
        if text != "-"
    ]


def rank_results(results: list[Result], measure: Any = ACCURACY) -> Ranking:
    ranking = rank(results, measure)
    assert ranking is not None
    return ranking


def test_ranks_and_tests_equal_those_of_the_source() -> None:
    ranking = rank_results(parse_results(DEMSAR, "plain m cf m+cf"))
    assert dict(zip(ranking.learners, ranking.ranks, strict=True)) == pytest.approx(
        {"plain": 3.143, "m": 2.000, "cf": 2.893, "m+cf": 1.964}, abs=5e-4
    )
    # The source's 9.28 is without the correction for ties (three pairs and one four of equals), which scipy applies.
    assert ranking.statistic == pytest.approx(9.28 / (1 - (3 * 6 + 60) / (14 * 4 * 15)), abs=0.01)
    assert ranking.p_value is not None
    assert 0.01 < ranking.p_value < 0.03
    assert ranking.critical_difference == pytest.approx(2.569 * (4 * 5 / (6 * 14)) ** 0.5, abs=2e-3)
    assert ranking.groups() == [(0, 3)]


@pytest.mark.parametrize(("learners", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_values_equal_those_of_the_source(learners: int, q: float) -> None:
    assert critical_difference(learners, 6) == pytest.approx(q * (learners * (learners + 1) / 36) ** 0.5, rel=1e-3)


def test_lower_is_better_for_hamming_and_ties_share_ranks() -> None:
    ranking = rank_results(parse_results(".1 .2 .2\n.3 .1 .1", "a b c", "hamming_loss"), HAMMING)
    assert dict(zip(ranking.learners, ranking.ranks, strict=True)) == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert ranking.means == pytest.approx([0.2, 0.15, 0.15])


def test_a_stream_without_values_of_all_learners_is_left_out() -> None:
    ranking = rank_results(parse_results(".1 .2\n.5 -\n.3 .4", "a b"))
    assert ranking.streams == ["stream 0", "stream 2"]
    assert ranking.learners == ["b", "a"]
    assert ranking.p_value is None
    assert rank(parse_results(".1 -\n- .2", "a b"), ACCURACY) is None
    assert rankings(parse_results(".1", "a")) == []


def test_groups_are_the_longest_runs_within_the_difference() -> None:
    ranking = Ranking(ACCURACY, list("abcde"), [0.0] * 5, [1.0, 1.5, 2.9, 3.0, 5.0], ["s", "t"], 1.0, 0.1, 1.6)
    assert ranking.groups() == [(0, 1), (1, 3)]


def test_learners_tied_on_all_streams() -> None:
    ranking = rank_results(parse_results(".5 .5 .5\n.2 .2 .2", "a b c"))
    assert (ranking.statistic, ranking.p_value) == (0.0, 1.0)
