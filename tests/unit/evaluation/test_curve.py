"""The curve of a stream of any length."""

from __future__ import annotations

import numpy as np

from streamlearn.evaluation.calibration import Calibration
from streamlearn.evaluation.curve import LEAST_ROWS, MOST_SPANS, Curve
from streamlearn.model.measures import Measures


def test_spans_cover_every_row_once_and_grow_with_the_stream() -> None:
    for rows in (0, 1, 9, 10, 11, 599, 600, 601, 610, 5_000, 123_457):
        curve, measures, calibration = Curve(), Measures(1_000, 1), Calibration()
        count = 0
        while count + (left := curve.rows_left(count)) <= rows:
            count += left
            curve.add(count, measures, calibration)
        curve.end(rows, measures, calibration)
        spans = curve.spans()
        ends = [span["to"] for span in spans]
        assert [span["from"] for span in spans] == [0, *ends][: len(spans)]
        assert ends[-1:] == [rows][: len(ends)]
        assert len(spans) >= min(MOST_SPANS // 2, rows // LEAST_ROWS)
        assert len(spans) <= MOST_SPANS + 1
        assert len({span["to"] - span["from"] for span in spans[:-1]}) <= 1


def test_a_span_has_the_log_loss_of_its_own_pairs() -> None:
    curve, measures, calibration = Curve(), Measures(1_000, 1), Calibration()
    for probability, count in ((0.5, 10), (0.25, 20)):
        calibration.score(np.full(3, probability), np.ones(3, np.int8))
        curve.add(count, measures, calibration)
    first, second = (span["measures"]["log_loss"] for span in curve.spans())
    assert np.allclose([first, second], -np.log([0.5, 0.25]))
