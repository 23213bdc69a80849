"""The loss of each cluster updates its own detector, and alarms raise events and tests of the partition."""

from __future__ import annotations

import numpy as np
import pytest
from river.drift import ADWIN, PageHinkley

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.drift.cluster_loss import cluster_loss_learn_row, note_alarm
from streamlearn.learner.drift.detectors import SLACK, DriftDetectors, Retest, cluster_loss_scratch
from streamlearn.learner.drift.page_hinkley import page_hinkley_update
from streamlearn.learner.drift.river_detector import RiverDetectors
from streamlearn.learner.event_buffer import drain, event_buffer
from streamlearn.learner.partition.clusters import RetestTime
from tests.naive.learner.drift.cluster_loss import losses

NEVER, LATER, NOW = (int(time) for time in RetestTime)
CLUSTER_OF = [0, 1, 0, 1, 2]
ROWS = 2_400
CHANGE = 1_200
SIGNIFICANCE = 0.006
SHARE = SIGNIFICANCE / 3
HEIGHT = 1 / 16 * np.log(3 / SIGNIFICANCE) / (2 * SLACK)


def river_detector(name):
    return ADWIN(delta=SHARE) if name == "adwin" else PageHinkley(delta=SLACK, threshold=HEIGHT)


def mean_of(detector):
    return detector.estimation if isinstance(detector, ADWIN) else detector._x_mean.get()


def probabilities(logits):
    return (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)


def stream(seed, unknown, worse_cluster, better_cluster):
    """Yield logits and truths of a stream in which the loss of one cluster grows and that of another falls."""
    rng = np.random.default_rng(seed)
    cluster_of = np.array(CLUSTER_OF, np.int32)
    for row in range(ROWS):
        confidence = np.where(cluster_of == better_cluster, 0.5, 3.0)
        if row >= CHANGE:
            confidence = np.where(cluster_of == worse_cluster, -1.0, confidence)
            confidence = np.where(cluster_of == better_cluster, 4.0, confidence)
        truth = (rng.random(5) < 0.4).astype(np.int8)
        mixed = ((2.0 * truth - 1.0) * confidence + rng.normal(0.0, 0.5, 5)).astype(np.float32)
        truth[rng.random(5) < unknown] = -1
        yield mixed, truth


def run(seed, unknown, worse_cluster, better_cluster, detectors, detector="adwin"):
    """Apply a stream; return our alarms, those of river's detectors on the twin's losses, and the requested tests.

    An alarm is (row, cluster, loss grew). The third result says for each row whether a test was requested.
    """
    detectors.resize(3)
    scratch = cluster_loss_scratch(8)
    theirs = [river_detector(detector) for _ in range(3)]
    ours_alarms, river_alarms, requested = [], [], []
    cluster_of = np.array(CLUSTER_OF, np.int32)
    for row, (mixed, truth) in enumerate(stream(seed, unknown, worse_cluster, better_cluster)):
        events = event_buffer(4)
        due = cluster_loss_learn_row(
            detectors.state, scratch, cluster_of, 3, probabilities(mixed), truth, 5, 77, row, NOW, events
        )
        detectors.state.retest[Retest.PENDING] = 0
        if detectors.kind == "river":
            assert due
            detectors.learn_row(scratch, 77, row, NOW, events)
        happened = drain(events, cluster_of)
        requested.append(bool(due) if detectors.kind != "river" else any(each.action == "retest" for each in happened))
        for event in happened:
            assert (event.operation, event.row, event.kind, event.scope) == (77, row, "drift", "cluster")
            assert event.direction == ("worse" if event.after > event.before else "better")
            assert event.since_row == max(0, row - event.rows + 1)
            cluster = CLUSTER_OF[event.slot]
            ours_alarms.append((row, cluster, event.direction == "worse"))
        known = [None if y < 0 else int(y) for y in truth]
        for cluster, loss in enumerate(losses(mixed.tolist(), known, CLUSTER_OF, 3)):
            if loss is None:
                continue
            mean = mean_of(theirs[cluster])
            theirs[cluster].update(loss)
            if theirs[cluster].drift_detected:
                # The mean of Page-Hinkley moves slowly: the loss itself shows the direction.
                grew = mean_of(theirs[cluster]) > mean if detector == "adwin" else loss > mean
                river_alarms.append((row, cluster, bool(grew)))
    return ours_alarms, river_alarms, requested


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("unknown", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_alarms_equal_river_on_the_losses_of_the_twin(seed, unknown, detector):
    ours, rivers, requested = run(seed, unknown, 1, 2, DriftDetectors(detector, SIGNIFICANCE, 0), detector)
    assert [alarm[:2] for alarm in ours] == [alarm[:2] for alarm in rivers]
    if detector == "adwin":
        assert ours == rivers
    assert any(cluster == 1 and worse and row >= CHANGE for row, cluster, worse in ours)
    assert any(cluster == 2 and not worse and row >= CHANGE for row, cluster, worse in ours)
    assert [row for row, due in enumerate(requested) if due] == sorted({row for row, _, worse in ours if worse})


def test_a_row_without_known_truths_updates_nothing():
    ours, rivers, _ = run(0, 1.0, 1, 2, DriftDetectors())
    assert ours == rivers == []


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley"])
def test_a_steady_stream_raises_no_alarm(detector):
    ours, _, _ = run(1, 0.0, None, None, DriftDetectors(detector))
    assert ours == []


def test_none_raises_no_alarm_and_keeps_no_state():
    detectors = DriftDetectors("none")
    ours, rivers, requested = run(0, 0.0, 1, 2, detectors)
    assert rivers
    assert ours == []
    assert not any(requested)
    assert set(detectors.arrays()) == {"noted", "retest"}
    assert [detectors.state.adwin.buckets.size, detectors.state.page_hinkley.sums.size] == [0, 0]
    scratch = cluster_loss_scratch(8)
    scratch.loss[:] = 7.0
    mixed, truth = next(stream(0, 0.0, 1, 2))
    cluster_of = np.array(CLUSTER_OF, np.int32)
    cluster_loss_learn_row(
        detectors.state, scratch, cluster_of, 3, probabilities(mixed), truth, 5, 0, 0, NOW, event_buffer(4)
    )
    assert scratch.loss.tolist() == [7.0] * 8


def test_detectors_of_river_raise_the_alarms_of_river():
    prototype = ADWIN(delta=SHARE)
    ours, rivers, requested = run(0, 0.6, 1, 2, RiverDetectors(prototype, 0))
    assert prototype.width == 0, "the copied detector does not change"
    assert [alarm[:2] for alarm in ours] == [alarm[:2] for alarm in rivers]
    assert any(cluster == 1 and worse for _, cluster, worse in ours)
    assert any(cluster == 2 and not worse for _, cluster, worse in ours)
    assert [row for row, due in enumerate(requested) if due] == sorted({row for row, _, worse in ours if worse})


@pytest.mark.parametrize("size", [1, 5, 300])
def test_a_loss_does_not_depend_on_the_size_of_the_cluster(size):
    """One in five labels is true, with equal margins: the loss depends on p alone."""
    detectors, scratch = DriftDetectors(), cluster_loss_scratch(1)
    detectors.resize(1)
    truth = (np.arange(size) % 5 == 0).astype(np.int8)
    found = []
    for margin in (4.0, 2.0, 0.0):
        mixed = np.where(truth == 1, margin, -margin).astype(np.float32)
        labels = np.zeros(size, np.int32)
        cluster_loss_learn_row(
            detectors.state, scratch, labels, 1, probabilities(mixed), truth, size, 0, 0, NOW, event_buffer(1)
        )
        expected = losses(mixed.tolist(), truth.tolist(), [0] * size, 1)[0]
        assert scratch.loss[0] == pytest.approx(expected, rel=1e-5)
        found.append(scratch.loss[0])
    assert 0.0 < found[0] < 0.1 < found[1] < found[2] <= 1.0


def raise_alarm(detectors, cluster, row, before, after, retest_time=NOW):
    events = event_buffer(1)
    detectors.state.retest[Retest.PENDING] = 0
    note_alarm(detectors.state, cluster, before, after, 10, 0, row, retest_time, events)
    happened = drain(events, np.array([0, 1], np.int32))
    assert bool(detectors.state.retest[Retest.PENDING]) == any(event.action == "retest" for event in happened)
    return [(event.direction, event.action) for event in happened]


def test_alarms_within_the_cooldown_are_one_event_per_cluster_and_direction():
    detectors = DriftDetectors("adwin", 0.05, 100)
    detectors.resize(2)
    assert raise_alarm(detectors, 0, 1_000, 0.1, 0.5) == [("worse", "retest")]
    assert raise_alarm(detectors, 0, 1_099, 0.1, 0.5) == []
    assert raise_alarm(detectors, 0, 1_099, 0.5, 0.1) == [("better", "none")]
    assert raise_alarm(detectors, 1, 1_099, 0.1, 0.5) == [("worse", "none")], "the partition was tested 99 rows ago"
    assert raise_alarm(detectors, 0, 1_100, 0.1, 0.5) == [("worse", "retest")], (
        "100 rows after the event, not after the repeated alarm"
    )
    detectors.change("adwin", 0.05, 20)
    assert raise_alarm(detectors, 0, 1_120, 0.1, 0.5) == [("worse", "retest")]
    detectors.change("adwin", 0.05, 0)
    assert raise_alarm(detectors, 0, 1_120, 0.1, 0.5) == [("worse", "retest")]


def test_only_a_larger_loss_requests_a_test_and_only_if_there_is_a_candidate():
    detectors = DriftDetectors("adwin", 0.05, 100)
    detectors.resize(1)
    assert raise_alarm(detectors, 0, 10, 0.5, 0.1) == [("better", "none")]
    assert raise_alarm(detectors, 0, 20, 0.1, 0.5, retest_time=NEVER) == [("worse", "none")]
    assert raise_alarm(detectors, 0, 120, 0.1, 0.5) == [("worse", "retest")]


def test_a_test_requested_too_early_stays_pending():
    detectors, scratch = DriftDetectors("adwin", 0.05, 100), cluster_loss_scratch(1)
    detectors.resize(1)
    assert raise_alarm(detectors, 0, 20, 0.1, 0.5, retest_time=LATER) == [("worse", "retest")]
    labels, row = np.zeros(1, np.int32), (np.full(1, 0.5, np.float32), np.zeros(1, np.int8), 1, 0, 21)
    due = [
        bool(cluster_loss_learn_row(detectors.state, scratch, labels, 1, *row, retest_time, event_buffer(1)))
        for retest_time in (LATER, NOW, NOW)
    ]
    assert due == [False, True, True], "until the owner has run the test"
    detectors.state.retest[Retest.PENDING] = 0
    assert not cluster_loss_learn_row(detectors.state, scratch, labels, 1, *row, NOW, event_buffer(1))


def test_the_error_budget_is_divided_among_the_clusters():
    detectors = DriftDetectors("adwin", 0.05)
    detectors.resize(1)
    assert detectors.state.adwin.delta == 0.05
    detectors.resize(16)
    assert detectors.state.adwin.delta == 0.05 / 16
    detectors.change("page_hinkley", 0.02, 100)
    assert detectors.state.page_hinkley.threshold == pytest.approx(1 / 16 * np.log(16 / 0.02) / (2 * 0.01))
    detectors.restart(2)
    assert detectors.state.page_hinkley.threshold == pytest.approx(1 / 16 * np.log(2 / 0.02) / (2 * 0.01))


def test_page_hinkley_on_noise_keeps_its_error_budget():
    """Losses of constant mean, with the variance that the height assumes, alarm at most at the budgeted rate."""
    rng = np.random.default_rng(3)
    detectors = DriftDetectors("page_hinkley", 0.05)
    detectors.resize(1)
    alarms = 0
    for loss in np.clip(rng.normal(0.5, 0.25, 20_000), 0.0, 1.0):
        alarms += page_hinkley_update(detectors.state.page_hinkley, 0, loss)
    assert alarms <= 0.05 * 20_000 / 10


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley", "none"])
def test_state_is_restored_and_another_kind_starts_empty(detector):
    detectors = DriftDetectors(detector)
    run(0, 0.3, 1, 2, detectors)
    arrays = {name: array.copy() for name, array in detectors.arrays().items()}
    same, other = DriftDetectors(detector), DriftDetectors("page_hinkley" if detector == "adwin" else "adwin")
    for loaded in (same, other):
        loaded.load_arrays(arrays, 3)
        assert loaded.clusters == 3
    for name, array in arrays.items():
        np.testing.assert_array_equal(same.arrays()[name], array, err_msg=name)
    assert same.state.adwin.delta == detectors.state.adwin.delta
    assert other.state.adwin.moments.sum() == other.state.page_hinkley.sums[:, :4].sum() == 0.0
    with pytest.raises(SnapshotError, match="'noted'"):
        same.load_arrays(arrays, 4)
    total = sum(array.nbytes for array in arrays.values())
    assert total <= DriftDetectors.bytes_bound(3)
    with pytest.raises(UsageError, match="adwin, page_hinkley, none"):
        DriftDetectors("ddm")
