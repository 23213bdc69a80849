"""A second truth for a row that was learnt: what it adds or corrects is learnt once, by every part that can.

The experts and the mixer: `experts.ensemble_correction`. Thresholds and weights of the decision learn labels that
become known;
label sets, pools, trees and the partition learn the row when all its labels are known for the first time. Drift
detectors see a row's first truth only.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.decision import decision_rows
from streamlearn.learner.decode.fixed_share import fixed_share_learn_row
from streamlearn.learner.decode.learned_pool import learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.decode.thresholds import thresholds_learn_row
from streamlearn.learner.decode.tree_prior import tree_prior_learn_row
from streamlearn.learner.decode.utility import utility_learn_row
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import LABEL_SETS, NOTHING, EventBuffer, note_event
from streamlearn.learner.experts.ensemble_correction import ensemble_correct_row
from streamlearn.learner.experts.neighbour_window import WINDOW_ROWS, WindowRow, window_find
from streamlearn.learner.mixture.logistic_mixing import mixer_learn_row
from streamlearn.learner.partition.clusters import partition_learn_row
from streamlearn.learner.step import COMPLETE, LEARNT, LearnerState, Scratch, infer_row, predict_logits


@kernel
def _predict(
    state: LearnerState, scratch: Scratch, entries: Entries, labels: int, minimum_support: int, row: int
) -> None:
    """Fill the scratch as for a row that is learnt; the row's own truth in the neighbours' window does not vote."""
    neighbours = state.ensemble.neighbours
    number = window_find(neighbours, row)
    place = number % WINDOW_ROWS
    known = neighbours.rows[place, WindowRow.KNOWN]
    positives = neighbours.rows[place, WindowRow.POSITIVES]
    complete = neighbours.rows[place, WindowRow.COMPLETE]
    if number >= 0:
        neighbours.rows[place, WindowRow.KNOWN] = 0
        neighbours.rows[place, WindowRow.POSITIVES] = 0
        neighbours.rows[place, WindowRow.COMPLETE] = 0
    predict_logits(state, scratch, entries, 0, entries.columns.size, labels)
    infer_row(state, scratch, labels, minimum_support)
    if number >= 0:
        neighbours.rows[place, WindowRow.KNOWN] = known
        neighbours.rows[place, WindowRow.POSITIVES] = positives
        neighbours.rows[place, WindowRow.COMPLETE] = complete


@kernel
def correct_row(
    state: LearnerState,
    scratch: Scratch,
    entries: Entries,
    changed: np.ndarray,
    added: np.ndarray,
    added_members: np.ndarray,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    completes: bool,
    labels: int,
    minimum_support: int,
    row: int,
    events: EventBuffer,
) -> None:
    """Learn a second truth for a row; arguments as for `experts.ensemble_correction.ensemble_correct_row`.

    What is known of recent label sets is in the ensemble's scratch already. There has to be room for one event.
    """
    _predict(state, scratch, entries, labels, minimum_support, row)
    mixer_learn_row(state.mixer, scratch.mixer, scratch.mixed, changed, labels)
    ensemble_correct_row(
        state.ensemble,
        scratch.ensemble,
        entries,
        changed,
        added,
        added_members,
        truth,
        members,
        complete,
        completes,
        labels,
        row,
    )
    adds = False
    for label in range(labels):
        state.positives[label] += 1 if changed[label] == 1 else 0
        adds = adds or added[label] >= 0
    decision = state.decision
    decided = decision_rows(decision)
    if adds:
        thresholds_learn_row(decision.thresholds, scratch.decision.mixed, added, labels)
    if adds and decided >= LEAST_ROWS:
        joint = scratch.decision.joint
        fixed_share_learn_row(decision.share, joint.probabilities, joint.marginals, added, labels)
    if not completes:
        return
    state.counters[COMPLETE] += 1
    if decided >= LEAST_ROWS:
        utility_learn_row(decision.utility, scratch.decision.joint.candidates, truth, members.size)
    learned_pool_learn_row(decision.pool, scratch.decision.pool, members, labels, state.positives)
    tree_prior_learn_row(decision.tree, state.partition.tree, members)
    if decided < LEAST_ROWS <= decision_rows(decision):
        rows = decision_rows(decision)
        last = state.counters[LEARNT] - 1
        note_event(events, 0, LABEL_SETS, 0, NOTHING, state.counters[COMPLETE], last, decided, rows)
    partition_learn_row(state.partition, members)
