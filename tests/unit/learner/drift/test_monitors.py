"""Each cluster's loss goes to its own detector, and alarms are noted with what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from river.drift import ADWIN

from streamlearn.learner.drift.adwin import Adwin
from streamlearn.learner.drift.monitors import MonitorScratch, monitors_learn_row
from streamlearn.learner.events import event_buffer
from tests.naive.monitors import losses

CLUSTER_OF = [0, 1, 0, 1, 2]
ROWS = 2_400
CHANGE = 1_200


def run(seed: int, unknown: float, worse_cluster: int | None, better_cluster: int | None):
    """Walk a stream in which one cluster gets worse and another better; return ours and river's alarms.

    An alarm is (row, cluster, loss grew); the third result says for each row whether the kernel saw a loss grow.
    """
    rng = np.random.default_rng(seed)
    adwin = Adwin(3)
    scratch = MonitorScratch(np.zeros(8), np.zeros(8, np.uint8))
    theirs = [ADWIN() for _ in range(3)]
    ours_alarms, river_alarms, grew = [], [], []
    cluster_of = np.array(CLUSTER_OF, np.int32)
    for row in range(ROWS):
        confidence = np.where(cluster_of == better_cluster, 0.5, 3.0)
        if row >= CHANGE:
            confidence = np.where(cluster_of == worse_cluster, -1.0, confidence)
            confidence = np.where(cluster_of == better_cluster, 4.0, confidence)
        truth = (rng.random(5) < 0.4).astype(np.int8)
        mixed = ((2.0 * truth - 1.0) * confidence + rng.normal(0.0, 0.5, 5)).astype(np.float32)
        truth[rng.random(5) < unknown] = -1
        events = event_buffer(4)
        worse = monitors_learn_row(adwin.state, scratch, cluster_of, 3, mixed, truth, 5, 77, row, events)
        grew.append(bool(worse))
        for place in range(int(events.size[0])):
            operation, cluster, since, at = events.whole[place].tolist()
            assert (operation, at) == (77, row)
            assert since == adwin.state.since[cluster]
            ours_alarms.append((row, cluster, bool(events.real[place, 1] > events.real[place, 0])))
        known = [None if y < 0 else int(y) for y in truth]
        for cluster, loss in enumerate(losses(mixed.tolist(), known, CLUSTER_OF, 3)):
            if loss is None:
                continue
            mean = theirs[cluster].estimation
            theirs[cluster].update(loss)
            if theirs[cluster].drift_detected:
                river_alarms.append((row, cluster, bool(theirs[cluster].estimation > mean)))
    return ours_alarms, river_alarms, grew


@pytest.mark.parametrize("unknown", [0.0, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_alarms_are_rivers_on_the_losses_of_the_twin(seed, unknown):
    ours, rivers, grew = run(seed, unknown, worse_cluster=1, better_cluster=2)
    assert ours == rivers
    assert any(cluster == 1 and worse and row >= CHANGE for row, cluster, worse in ours)
    assert any(cluster == 2 and not worse and row >= CHANGE for row, cluster, worse in ours)
    assert [row for row, up in enumerate(grew) if up] == sorted({row for row, _, worse in ours if worse})


def test_nothing_known_is_no_row():
    ours, rivers, _ = run(0, 1.0, worse_cluster=1, better_cluster=2)
    assert ours == rivers == []


def test_a_steady_stream_raises_no_alarm():
    ours, _, _ = run(1, 0.0, worse_cluster=None, better_cluster=None)
    assert ours == []
