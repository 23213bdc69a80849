"""The loss of every top-level cluster of labels, and its drift detectors.

A cluster's loss on a row is the soft Jaccard distance between its truth y and the mixture's probabilities p,

    sum |y - p| / max(1, sum max(y, p))

over its labels whose truth is known: 1 - p for a single true label and p for a single false one. It lies in [0, 1] for
any size of the cluster: unlike 1 minus the probability of all truths it does not saturate, and unlike the mean error it
does not vanish among many labels that are rarely true. It does not depend on the decision rule. A cluster without known
truths is not updated.

Source: the distance is 1 minus Ruzicka's similarity, which is Jaccard's on sets (S. Kosub, "A note on the triangle
inequality for the Jaccard distance", Pattern Recognition Letters 120, 2019); with the 1 in the denominator an empty
truth costs the expected number of labels, at most 1.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import adwin_update
from streamlearn.learner.drift.detectors import (
    Change,
    ClusterLossScratch,
    DetectorKind,
    DriftState,
    Retest,
)
from streamlearn.learner.drift.page_hinkley import page_hinkley_update
from streamlearn.learner.event_buffer import EventAction, EventBuffer, EventKind, note_event
from streamlearn.learner.partition.clusters import RetestTime


@kernel
def note_alarm(
    state: DriftState,
    cluster: int | np.int64,
    before: float,
    after: float,
    rows: int | np.int64,
    operation: int | np.int64,
    row: int | np.int64,
    retest_time: int | np.int64,
    events: EventBuffer,
) -> None:
    """Raise the event of an alarm, unless the cluster is in its cooldown, and request a test of the partition.

    A test is requested if the loss grew and ``retest_time`` is not NEVER, at most once per cooldown over all clusters.
    """
    change = np.int64(Change.WORSE if after > before else Change.BETTER)
    last = state.last_event[cluster, change]
    if last >= 0 and row - last < state.cooldown_rows:
        return
    state.last_event[cluster, change] = row
    requested = state.retest[Retest.ROW]
    retests = change == Change.WORSE and retest_time != RetestTime.NEVER
    retests = retests and (requested < 0 or row - requested >= state.cooldown_rows)
    if retests:
        state.retest[Retest.ROW] = row
        state.retest[Retest.PENDING] = 1
    action = np.int64(EventAction.RETEST if retests else EventAction.NONE)
    note_event(events, operation, np.int64(EventKind.DRIFT), cluster, action, rows, row, before, after)


@kernel
def cluster_loss_learn_row(
    state: DriftState,
    scratch: ClusterLossScratch,
    cluster_of: np.ndarray,
    clusters: int,
    probabilities: np.ndarray,
    truth: np.ndarray,
    labels: int,
    operation: int,
    row: int,
    retest_time: int | np.int64,
    events: EventBuffer,
) -> bool:
    """Update the detector of each cluster with its loss and raise the events; return whether the owner has to act.

    The owner has to test the partition if a test is pending and can run now. With detectors of river it has to call
    `DriftDetectors.learn_row` after every row.

    Parameters
    ----------
    state
        The detectors.
    scratch
        Receives the losses.
    cluster_of
        int32[labels], the cluster of each label.
    clusters
        Number of clusters.
    probabilities
        float32[labels], the mixture's before the row is learnt.
    truth
        int8[labels]: 1, 0 or -1 (unknown).
    labels
        Number of labels.
    operation, row
        The operation and the row that events refer to.
    retest_time
        What `partition_retest_time` returned for this row.
    events
        Buffer with capacity for one event per cluster.
    """
    if state.kind == DetectorKind.NONE:
        return False
    for cluster in range(clusters):
        scratch.loss[cluster] = 0.0
        scratch.union[cluster] = 0.0
        scratch.known[cluster] = 0
    for label in range(labels):
        if truth[label] >= 0:
            cluster = cluster_of[label]
            probability = np.float64(probabilities[label])
            scratch.loss[cluster] += 1.0 - probability if truth[label] == 1 else probability
            scratch.union[cluster] += 1.0 if truth[label] == 1 else probability
            scratch.known[cluster] = 1
    for cluster in range(clusters):
        scratch.loss[cluster] /= max(1.0, scratch.union[cluster])
    if state.kind == DetectorKind.RIVER:
        return True
    for cluster in range(clusters):
        if not scratch.known[cluster]:
            continue
        loss = scratch.loss[cluster]
        before, after, rows = state.adwin.before, state.adwin.after, state.adwin.since
        if state.kind == DetectorKind.ADWIN:
            alarm = adwin_update(state.adwin, cluster, loss)
        else:
            alarm = page_hinkley_update(state.page_hinkley, cluster, loss)
            before, after, rows = state.page_hinkley.before, state.page_hinkley.after, state.page_hinkley.since
        if alarm:
            note_alarm(
                state, cluster, before[cluster], after[cluster], rows[cluster], operation, row, retest_time, events
            )
    return state.retest[Retest.PENDING] != 0 and retest_time == RetestTime.NOW
