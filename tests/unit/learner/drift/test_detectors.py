"""Each cluster's loss goes to its own detector, and alarms are noted with what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from river.drift import ADWIN, PageHinkley

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.drift.cluster_loss import cluster_loss_learn_row, note_alarm
from streamlearn.learner.drift.detectors import SLACK, WAITS, DriftDetectors, cluster_loss_scratch
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
    """Yield logits and truths of a stream in which one cluster gets worse and another better."""
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


def run(seed, unknown, worse_cluster, better_cluster, watch, detector="adwin"):
    """MicroBatchRunner a stream; return our alarms and those of river's detectors on the twin's losses.

    An alarm is (row, cluster, loss grew); the third result says for each row whether the kernel asked for a test.
    """
    watch.resize(3)
    scratch = cluster_loss_scratch(8)
    theirs = [river_detector(detector) for _ in range(3)]
    ours_alarms, river_alarms, asked = [], [], []
    cluster_of = np.array(CLUSTER_OF, np.int32)
    for row, (mixed, truth) in enumerate(stream(seed, unknown, worse_cluster, better_cluster)):
        events = event_buffer(4)
        due = cluster_loss_learn_row(
            watch.state, scratch, cluster_of, 3, probabilities(mixed), truth, 5, 77, row, NOW, events
        )
        watch.state.retest[WAITS] = 0
        if watch.detector == "river":
            assert due
            watch.learn_row(scratch, 77, row, NOW, events)
        happened = drain(events, cluster_of)
        asked.append(bool(due) if watch.detector != "river" else any(each.action == "retest" for each in happened))
        for event in happened:
            assert (event.operation, event.row, event.kind, event.scope) == (77, row, "drift", "cluster")
            assert event.direction == ("worse" if event.after > event.before else "better")
            assert event.since_row == max(0, row - event.count + 1)
            cluster = CLUSTER_OF[event.slot]
            ours_alarms.append((row, cluster, event.direction == "worse"))
        known = [None if y < 0 else int(y) for y in truth]
        for cluster, loss in enumerate(losses(mixed.tolist(), known, CLUSTER_OF, 3)):
            if loss is None:
                continue
            mean = mean_of(theirs[cluster])
            theirs[cluster].update(loss)
            if theirs[cluster].drift_detected:
                # Page-Hinkley's mean moves slowly: the change shows in its sums' signs.
                grew = mean_of(theirs[cluster]) > mean if detector == "adwin" else loss > mean
                river_alarms.append((row, cluster, bool(grew)))
    return ours_alarms, river_alarms, asked


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("unknown", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_alarms_are_rivers_on_the_losses_of_the_twin(seed, unknown, detector):
    ours, rivers, asked = run(seed, unknown, 1, 2, DriftDetectors(detector, SIGNIFICANCE, 0), detector)
    assert [alarm[:2] for alarm in ours] == [alarm[:2] for alarm in rivers]
    if detector == "adwin":
        assert ours == rivers
    assert any(cluster == 1 and worse and row >= CHANGE for row, cluster, worse in ours)
    assert any(cluster == 2 and not worse and row >= CHANGE for row, cluster, worse in ours)
    assert [row for row, due in enumerate(asked) if due] == sorted({row for row, _, worse in ours if worse})


def test_nothing_known_is_no_row():
    ours, rivers, _ = run(0, 1.0, 1, 2, DriftDetectors())
    assert ours == rivers == []


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley"])
def test_a_steady_stream_raises_no_alarm(detector):
    ours, _, _ = run(1, 0.0, None, None, DriftDetectors(detector))
    assert ours == []


def test_none_raises_no_alarm_keeps_nothing_and_looks_at_nothing():
    watch = DriftDetectors("none")
    ours, rivers, asked = run(0, 0.0, 1, 2, watch)
    assert rivers
    assert ours == []
    assert not any(asked)
    assert set(watch.arrays()) == {"noted", "retest"}
    assert [watch.state.adwin.buckets.size, watch.state.page_hinkley.sums.size] == [0, 0]
    scratch = cluster_loss_scratch(8)
    scratch.loss[:] = 7.0
    mixed, truth = next(stream(0, 0.0, 1, 2))
    cluster_of = np.array(CLUSTER_OF, np.int32)
    cluster_loss_learn_row(
        watch.state, scratch, cluster_of, 3, probabilities(mixed), truth, 5, 0, 0, NOW, event_buffer(4)
    )
    assert scratch.loss.tolist() == [7.0] * 8


def test_detectors_of_river_raise_their_own_alarms():
    prototype = ADWIN(delta=SHARE)
    ours, rivers, asked = run(0, 0.6, 1, 2, RiverDetectors(prototype, 0))
    assert prototype.width == 0, "what is cloned learns nothing"
    assert [alarm[:2] for alarm in ours] == [alarm[:2] for alarm in rivers]
    assert any(cluster == 1 and worse for _, cluster, worse in ours)
    assert any(cluster == 2 and not worse for _, cluster, worse in ours)
    assert [row for row, due in enumerate(asked) if due] == sorted({row for row, _, worse in ours if worse})


@pytest.mark.parametrize("size", [1, 5, 300])
def test_a_loss_stays_in_proportion_whatever_the_size_of_the_cluster(size):
    """All labels alike, of which one in five is true: the loss depends on p alone."""
    watch, scratch = DriftDetectors(), cluster_loss_scratch(1)
    watch.resize(1)
    truth = (np.arange(size) % 5 == 0).astype(np.int8)
    found = []
    for margin in (4.0, 2.0, 0.0):
        mixed = np.where(truth == 1, margin, -margin).astype(np.float32)
        labels = np.zeros(size, np.int32)
        cluster_loss_learn_row(
            watch.state, scratch, labels, 1, probabilities(mixed), truth, size, 0, 0, NOW, event_buffer(1)
        )
        expected = losses(mixed.tolist(), truth.tolist(), [0] * size, 1)[0]
        assert scratch.loss[0] == pytest.approx(expected, rel=1e-5)
        found.append(scratch.loss[0])
    assert 0.0 < found[0] < 0.1 < found[1] < found[2] <= 1.0


def noted(watch, cluster, row, before, after, testable=NOW):
    events = event_buffer(1)
    watch.state.retest[WAITS] = 0
    note_alarm(watch.state, cluster, before, after, 10, 0, row, testable, events)
    happened = drain(events, np.array([0, 1], np.int32))
    assert bool(watch.state.retest[WAITS]) == any(event.action == "retest" for event in happened)
    return [(event.direction, event.action) for event in happened]


def test_repeats_within_the_cooldown_are_one_event_for_each_cluster_and_direction():
    watch = DriftDetectors("adwin", 0.05, 100)
    watch.resize(2)
    assert noted(watch, 0, 1_000, 0.1, 0.5) == [("worse", "retest")]
    assert noted(watch, 0, 1_099, 0.1, 0.5) == []
    assert noted(watch, 0, 1_099, 0.5, 0.1) == [("better", "none")]
    assert noted(watch, 1, 1_099, 0.1, 0.5) == [("worse", "none")], "the partition was tested 99 rows ago"
    assert noted(watch, 0, 1_100, 0.1, 0.5) == [("worse", "retest")], "100 rows after the event, not the repeat"
    watch.change("adwin", 0.05, 20)
    assert noted(watch, 0, 1_120, 0.1, 0.5) == [("worse", "retest")]
    watch.change("adwin", 0.05, 0)
    assert noted(watch, 0, 1_120, 0.1, 0.5) == [("worse", "retest")]


def test_only_worse_has_the_partition_tested_and_only_where_that_is_possible():
    watch = DriftDetectors("adwin", 0.05, 100)
    watch.resize(1)
    assert noted(watch, 0, 10, 0.5, 0.1) == [("better", "none")]
    assert noted(watch, 0, 20, 0.1, 0.5, testable=NEVER) == [("worse", "none")]
    assert noted(watch, 0, 120, 0.1, 0.5) == [("worse", "retest")]


def test_a_test_that_comes_too_early_waits():
    watch, scratch = DriftDetectors("adwin", 0.05, 100), cluster_loss_scratch(1)
    watch.resize(1)
    assert noted(watch, 0, 20, 0.1, 0.5, testable=LATER) == [("worse", "retest")]
    labels, row = np.zeros(1, np.int32), (np.full(1, 0.5, np.float32), np.zeros(1, np.int8), 1, 0, 21)
    due = [
        bool(cluster_loss_learn_row(watch.state, scratch, labels, 1, *row, testable, event_buffer(1)))
        for testable in (LATER, NOW, NOW)
    ]
    assert due == [False, True, True], "until the owner has tested"
    watch.state.retest[WAITS] = 0
    assert not cluster_loss_learn_row(watch.state, scratch, labels, 1, *row, NOW, event_buffer(1))


def test_the_error_budget_is_shared_by_all_clusters():
    watch = DriftDetectors("adwin", 0.05)
    watch.resize(1)
    assert watch.state.adwin.delta == 0.05
    watch.resize(16)
    assert watch.state.adwin.delta == 0.05 / 16
    watch.change("page_hinkley", 0.02, 100)
    assert watch.state.page_hinkley.threshold == pytest.approx(1 / 16 * np.log(16 / 0.02) / (2 * 0.01))
    watch.restart(2)
    assert watch.state.page_hinkley.threshold == pytest.approx(1 / 16 * np.log(2 / 0.02) / (2 * 0.01))


def test_a_page_hinkley_of_noise_keeps_to_its_budget():
    """Steady losses with the standard deviation that the height is made for: at most the share of rows alarms."""
    rng = np.random.default_rng(3)
    watch = DriftDetectors("page_hinkley", 0.05)
    watch.resize(1)
    alarms = 0
    for loss in np.clip(rng.normal(0.5, 0.25, 20_000), 0.0, 1.0):
        alarms += page_hinkley_update(watch.state.page_hinkley, 0, loss)
    assert alarms <= 0.05 * 20_000 / 10


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley", "none"])
def test_state_survives_a_round_trip_and_another_detector_starts_empty(detector):
    watch = DriftDetectors(detector)
    run(0, 0.3, 1, 2, watch)
    arrays = {name: array.copy() for name, array in watch.arrays().items()}
    same, other = DriftDetectors(detector), DriftDetectors("page_hinkley" if detector == "adwin" else "adwin")
    for loaded in (same, other):
        loaded.load_arrays(arrays, 3)
        assert loaded.clusters == 3
    for name, array in arrays.items():
        np.testing.assert_array_equal(same.arrays()[name], array, err_msg=name)
    assert same.state.adwin.delta == watch.state.adwin.delta
    assert other.state.adwin.moments.sum() == other.state.page_hinkley.sums[:, :4].sum() == 0.0
    with pytest.raises(SnapshotError, match="'noted'"):
        same.load_arrays(arrays, 4)
    total = sum(array.nbytes for array in arrays.values())
    assert total <= DriftDetectors.bytes_bound(3)
    with pytest.raises(UsageError, match="adwin, page_hinkley, none"):
        DriftDetectors("ddm")
