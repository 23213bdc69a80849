"""Scores equal the logistic function, and the best labels are those of a full sort."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.scores import best_labels, probability

logit_lists = st.lists(st.one_of(st.floats(-12.0, 12.0, width=32), st.sampled_from([0.0, 1.0])), max_size=9)


@given(logit=st.floats(-15.0, 15.0, width=32))
def test_probability_is_the_logistic_function_to_six_decimals(logit: float) -> None:
    value = probability(np.float32(logit))
    assert value == round(value, 6)
    assert value == pytest.approx(1.0 / (1.0 + math.exp(-logit)), abs=6e-7)


@settings(max_examples=60, deadline=None)
@given(logits=logit_lists, data=st.data(), count=st.integers(0, 15))
def test_best_labels_have_the_largest_logits_and_the_lower_slot_on_ties(
    logits: list[float], data: st.DataObject, count: int
) -> None:
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    out = np.full(n, -1, np.int32)
    found = best_labels(np.array(logits, np.float32), n, np.array(allowed, np.uint8), count, out)
    ranked = sorted((label for label in range(n) if allowed[label]), key=lambda label: (-logits[label], label))
    assert out[:found].tolist() == ranked[:count]
