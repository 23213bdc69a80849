"""The meta-label generator: its priors, dependencies, features and drifts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic import Drift, generator
from streamlearn.streams.synthetic.meta_drift import MetaDrift, MetaLabelStream
from streamlearn.streams.synthetic.meta_label import CARDINALITY, LABELS, new_concept, with_present

DRIFTING = [
    f"meta-{target}-{pattern}"
    for target in ("features", "dependencies", "priors")
    for pattern in ("sudden", "gradual", "recurring")
]
PERIOD = 800


def stream(name: str, seed: int = 2, periods: int = 3) -> MetaLabelStream:
    _, target, pattern = name.split("-")
    drift = MetaDrift(target, pattern)  # type: ignore[arg-type]
    return MetaLabelStream(seed, periods * PERIOD, drift, period=PERIOD, duration=PERIOD // 2)


def priors(rows: Sequence[StreamRow]) -> dict[str, float]:
    counts = Counter(label for row in rows for label in row.y or ())
    return {f"label_{label:02d}": counts[f"label_{label:02d}"] / len(rows) for label in range(LABELS)}


def means(rows: Sequence[StreamRow]) -> list[float]:
    """Return the mean of every attribute."""
    return [sum(values) / len(rows) for values in zip(*(dict(row.x).values() for row in rows), strict=True)]  # type: ignore[arg-type]


def lifts(rows: Sequence[StreamRow]) -> dict[tuple[str, str], float]:
    """Return P(j, k) / (P(j) P(k)) of the pairs of frequent labels."""
    share = priors(rows)
    frequent = [label for label, prior in share.items() if prior > 0.15]
    both = Counter((one, other) for row in rows for one in row.y or () for other in row.y or () if one < other)
    return {
        (one, other): both[one, other] / len(rows) / (share[one] * share[other])
        for one in frequent
        for other in frequent
        if one < other
    }


def max_change(before: Sequence[float], after: Sequence[float]) -> float:
    return max(abs(old - new) for old, new in zip(before, after, strict=True))


def test_the_mean_number_of_labels_is_the_cardinality() -> None:
    for seed in range(3):
        rows = list(generator("meta", seed=seed, instances=1_500))
        assert sum(len(row.y or ()) for row in rows) / len(rows) == pytest.approx(CARDINALITY, abs=0.15)
        assert all(row.y for row in rows)


def test_every_label_is_as_frequent_as_its_prior() -> None:
    random = Random(4)
    concept = new_concept(random)
    counts = Counter(label for _ in range(3_000) for label in concept.draw_labels(random))
    for label, prior in enumerate(concept.priors):
        assert counts[label] / 3_000 == pytest.approx(prior, abs=0.045)


def test_labels_depend_on_each_other_as_the_concept_says() -> None:
    random = Random(5)
    concept = new_concept(random)
    rows = [StreamRow({}, [f"label_{label:02d}" for label in concept.draw_labels(random)]) for _ in range(4_000)]
    seen = lifts(rows)
    attract = [lift for (one, other), lift in seen.items() if concept.lifts[int(one[-2:])][int(other[-2:])] > 1.5]
    repel = [lift for (one, other), lift in seen.items() if concept.lifts[int(one[-2:])][int(other[-2:])] < 0.5]
    assert attract
    assert repel
    assert min(attract) > 2 * max(repel)


def test_an_attribute_follows_its_combination_of_labels() -> None:
    random = Random(6)
    concept = new_concept(random)
    drawn = [concept.draw_labels(random) for _ in range(900)]
    rows = [(set(present), concept.draw_values(random, present)) for present in drawn]
    for index, combination in enumerate(concept.combinations):
        inside = [values[index] for present, values in rows if present.issuperset(combination)]
        outside = [values[index] for present, values in rows if not present.issuperset(combination)]
        if len(inside) >= 40:
            assert abs(sum(inside) / len(inside) - sum(outside) / len(outside)) > 0.5
    assert {label for combination in concept.combinations if len(combination) == 1 for label in combination} == set(
        range(LABELS)
    )


def test_absent_labels_are_never_set() -> None:
    random = Random(7)
    present = [label % 2 == 0 for label in range(LABELS)]
    concept = with_present(random, new_concept(random), present)
    drawn = {label for _ in range(400) for label in concept.draw_labels(random)}
    assert drawn == {label for label in range(LABELS) if present[label]}


@pytest.mark.parametrize("name", DRIFTING)
def test_known_drifts(name: str) -> None:
    made = stream(name)
    duration = PERIOD // 2 if "gradual" in name else 0
    target = name.split("-")[1]
    assert made.drifts == [Drift(row, row + duration, target) for row in (PERIOD, 2 * PERIOD)]  # type: ignore[arg-type]
    assert made.name == f"synthetic:{name}"
    assert [drift.row for drift in generator(name, seed=0, instances=9_000).drifts] == [4_000, 8_000]
    assert generator("meta", seed=0, instances=9_000).drifts == []


@pytest.mark.parametrize("pattern", ["sudden", "recurring"])
@pytest.mark.parametrize("target", ["features", "dependencies", "priors"])
def test_a_drift_changes_its_target_and_nothing_else(target: str, pattern: str) -> None:
    rows = list(stream(f"meta-{target}-{pattern}"))
    first, second, third = (rows[start : start + PERIOD] for start in (0, PERIOD, 2 * PERIOD))
    prior_moves = max_change(list(priors(first).values()), list(priors(second).values()))
    assert (prior_moves > 0.12) == (target == "priors")
    # Means change with priors too, but only a drift of the features changes them by much.
    assert (max_change(means(first), means(second)) > 0.9) == (target == "features")
    if target == "dependencies":
        old, new = lifts(first), lifts(second)
        assert max(abs(old[pair] - new[pair]) for pair in old.keys() & new.keys()) > 1.5
    if pattern == "recurring":
        assert max_change(means(first), means(third)) < 0.25
        assert max_change(list(priors(first).values()), list(priors(third).values())) < 0.07


def test_a_gradual_drift_mixes_both_concepts() -> None:
    rows = list(stream("meta-features-gradual", periods=2))
    before, middle, after = (
        means(rows[start:end])
        for start, end in ((0, PERIOD), (PERIOD + 100, PERIOD + 300), (PERIOD + PERIOD // 2, 2 * PERIOD))
    )
    most_changed = max(range(len(before)), key=lambda index: abs(before[index] - after[index]))
    share = (middle[most_changed] - before[most_changed]) / (after[most_changed] - before[most_changed])
    assert share == pytest.approx(0.5, abs=0.15)


def test_labels_appear_and_retire_at_the_known_drifts() -> None:
    made = generator("meta-labels", seed=1, instances=18_000)
    rows = list(made)
    sets = [
        {label for row in rows[start : start + 4_000] for label in row.y or ()} for start in range(0, 17_000, 4_000)
    ]
    assert [drift.what for drift in made.drifts] == ["label appears", "label retires"] * 2
    gained = [sorted(after - before) for before, after in pairwise(sets)]
    lost = [sorted(before - after) for before, after in pairwise(sets)]
    assert gained == [["label_07"], [], ["label_08"], []]
    assert lost == [[], ["label_00"], [], ["label_01"]]
