"""What is watched for drift: the loss of every top-level cluster of labels.

A cluster's loss on a row is the soft Jaccard distance of its truth y and the mixture's probabilities p,

    sum |y - p| / max(1, sum max(y, p))

over its labels whose truth is known: 1 - p for a true label alone and p for a false one alone. It lies in [0, 1]
whatever the cluster's size: unlike 1 minus the probability of all truths it does not saturate, and unlike the mean
error it does not vanish among many labels that are rarely true. It does not depend on the decision rule. A cluster of
which nothing is known is not updated.

Source: the distance is 1 minus Ruzicka's similarity, which is Jaccard's on sets (S. Kosub, "A note on the triangle
inequality for the Jaccard distance", Pattern Recognition Letters 120, 2019); the 1 in the denominator lets an empty
truth cost the number of labels that were expected.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import adwin_update
from streamlearn.learner.drift.detectors import (
    ADWIN,
    ASKED,
    BETTER,
    NONE,
    RIVER,
    WAITS,
    WORSE,
    ClusterLossScratch,
    DriftState,
)
from streamlearn.learner.drift.page_hinkley import page_hinkley_update
from streamlearn.learner.event_buffer import DRIFT, NOTHING, RETEST, EventBuffer, note_event
from streamlearn.learner.partition.clusters import RetestTime


@kernel
def note_alarm(
    watch: DriftState,
    cluster: int | np.int64,
    before: float,
    after: float,
    rows: int | np.int64,
    operation: int | np.int64,
    row: int | np.int64,
    testable: int | np.int64,
    events: EventBuffer,
) -> None:
    """Note an alarm unless an event before stands for it, and ask for a test of the partition where it is to have one.

    Only a loss that grew has it tested, unless ``testable`` is NEVER, and once in a cooldown whichever cluster raised
    the alarm.
    """
    side = WORSE if after > before else BETTER
    last = watch.noted[cluster, side]
    if last >= 0 and row - last < watch.cooldown_rows:
        return
    watch.noted[cluster, side] = row
    asked = watch.retest[ASKED]
    action = NOTHING
    if side == WORSE and testable != RetestTime.NEVER and (asked < 0 or row - asked >= watch.cooldown_rows):
        action = RETEST
        watch.retest[ASKED] = row
        watch.retest[WAITS] = 1
    note_event(events, operation, DRIFT, cluster, action, rows, row, before, after)


@kernel
def cluster_loss_learn_row(
    watch: DriftState,
    scratch: ClusterLossScratch,
    cluster_of: np.ndarray,
    clusters: int,
    probabilities: np.ndarray,
    truth: np.ndarray,
    labels: int,
    operation: int,
    row: int,
    testable: int | np.int64,
    events: EventBuffer,
) -> bool:
    """Give each cluster's loss to its detector and note the alarms; return whether the owner has to act.

    It has to test the partition when an alarm has asked for it, now or while it was too early, and to look at the
    losses itself after every row if the detectors are river.

    ``probabilities`` float32[labels] are the mixture's before learning, ``truth`` int8[labels] is 1, 0 or -1 (unknown),
    ``cluster_of`` int32[labels]; ``testable`` is what `partition_retest_time` says of this row.
    """
    if watch.detector == NONE:
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
    if watch.detector == RIVER:
        return True
    for cluster in range(clusters):
        if not scratch.known[cluster]:
            continue
        loss = scratch.loss[cluster]
        before, after, rows = watch.adwin.before, watch.adwin.after, watch.adwin.since
        if watch.detector == ADWIN:
            alarm = adwin_update(watch.adwin, cluster, loss)
        else:
            alarm = page_hinkley_update(watch.page_hinkley, cluster, loss)
            before, after, rows = watch.page_hinkley.before, watch.page_hinkley.after, watch.page_hinkley.since
        if alarm:
            note_alarm(watch, cluster, before[cluster], after[cluster], rows[cluster], operation, row, testable, events)
    return watch.retest[WAITS] != 0 and testable == RetestTime.NOW
