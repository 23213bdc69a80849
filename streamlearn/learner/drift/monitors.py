"""Who is watched for drift: the loss of every top-level cluster of labels.

A cluster's loss on a row is 1 minus the probability that the mixture gave to the row's true labels within the cluster,
the labels taken as independent; it lies in [0, 1] and does not depend on the decision rule. Labels whose truth is
unknown are left out, and a cluster of which nothing is known is not updated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import exp32
from streamlearn.learner.drift.adwin import AdwinState, adwin_update
from streamlearn.learner.events import EventBuffer, note_event

_ONE = np.float32(1.0)


class MonitorScratch(NamedTuple):
    """Per row and cluster: ``likelihood`` float64, and ``known`` uint8, whether any label's truth is known."""

    likelihood: np.ndarray
    known: np.ndarray


@kernel
def monitors_learn_row(
    adwin: AdwinState,
    scratch: MonitorScratch,
    cluster_of: np.ndarray,
    clusters: int,
    mixed: np.ndarray,
    truth: np.ndarray,
    labels: int,
    operation: int,
    row: int,
    events: EventBuffer,
) -> bool:
    """Give each cluster's loss to its detector and note the alarms; return whether any loss grew.

    ``mixed`` float32[labels] are the logits before learning, ``truth`` int8[labels] is 1, 0 or -1 (unknown),
    ``cluster_of`` int32[labels].
    """
    for cluster in range(clusters):
        scratch.likelihood[cluster] = 1.0
        scratch.known[cluster] = 0
    for label in range(labels):
        if truth[label] >= 0:
            cluster = cluster_of[label]
            probability = np.float64(_ONE / (_ONE + exp32(-mixed[label])))
            scratch.likelihood[cluster] *= probability if truth[label] == 1 else 1.0 - probability
            scratch.known[cluster] = 1
    worse = False
    for cluster in range(clusters):
        if scratch.known[cluster] and adwin_update(adwin, cluster, 1.0 - scratch.likelihood[cluster]):
            rows = np.int64(adwin.since[cluster])
            note_event(events, operation, cluster, rows, row, adwin.before[cluster], adwin.after[cluster])
            if adwin.after[cluster] > adwin.before[cluster]:
                worse = True
    return worse
