"""Summary of the demo: spans around drifts, and scores."""

from __future__ import annotations

import pytest

from streamlearn.cli.demo_summary import drift_spans, mean_scores
from streamlearn.streams.synthetic import generator


def test_spans_end_at_neighbouring_drifts_and_at_the_last_row() -> None:
    drifts = generator("drifting", instances=9_000).drifts
    assert [drift.row for drift in drifts] == [4_000, 6_000, 8_000]
    assert [(span.start, span.end) for span in drift_spans(drifts, 6_700)] == [
        (3_000, 4_000),
        (4_000, 4_500),
        (4_500, 5_000),
        (5_000, 6_000),
        (6_000, 6_500),
        (6_500, 6_700),
        (0, 6_700),
    ]


def test_mean_scores_of_empty_and_partly_correct_answers() -> None:
    assert mean_scores([[], ["a"], ["a", "b"]], [[], ["b"], ["b", "c"]]) == pytest.approx((1 / 3, (1 + 0 + 0.5) / 3))
