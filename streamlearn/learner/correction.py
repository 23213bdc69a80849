"""Learning a later truth of a learnt row: each part learns once what the truth adds or corrects, if it can.

The experts learn as `experts.ensemble_correction` says, and the mixer learns the changed labels. The decision's
thresholds and weights learn labels that became known. Label sets, pools, trees and the partition learn the row when all
its labels become known. Drift detectors read only the first truth of a row.
"""

from __future__ import annotations

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.decision import decision_rows
from streamlearn.learner.decode.fixed_share import fixed_share_learn_row
from streamlearn.learner.decode.learned_pool import learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.decode.thresholds import thresholds_learn_row
from streamlearn.learner.decode.tree_prior import tree_prior_learn_row
from streamlearn.learner.decode.utility import utility_learn_row
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventBuffer
from streamlearn.learner.experts.ensemble_correction import ensemble_correct_row
from streamlearn.learner.experts.neighbour_window import WINDOW_ROWS, WindowRow, window_find
from streamlearn.learner.mixture.logistic_mixing import mixer_learn_row
from streamlearn.learner.operations import CorrectionArrays
from streamlearn.learner.partition.clusters import partition_learn_row
from streamlearn.learner.step import Counter, LearnerState, Scratch, infer_row, note_joint_decoding, predict_logits


@kernel
def _predict(
    state: LearnerState, scratch: Scratch, entries: Entries, labels: int, minimum_support: int, row: int
) -> None:
    """Fill the scratch as for a row that is learnt; the row's entry in the neighbours' window does not vote."""
    neighbours = state.ensemble.neighbours
    number = window_find(neighbours, row)
    index = number % WINDOW_ROWS
    known = neighbours.rows[index, WindowRow.KNOWN]
    positives = neighbours.rows[index, WindowRow.POSITIVES]
    complete = neighbours.rows[index, WindowRow.COMPLETE]
    if number >= 0:
        neighbours.rows[index, WindowRow.KNOWN] = 0
        neighbours.rows[index, WindowRow.POSITIVES] = 0
        neighbours.rows[index, WindowRow.COMPLETE] = 0
    predict_logits(state, scratch, entries, 0, entries.columns.size, labels)
    infer_row(state, scratch, labels, minimum_support)
    if number >= 0:
        neighbours.rows[index, WindowRow.KNOWN] = known
        neighbours.rows[index, WindowRow.POSITIVES] = positives
        neighbours.rows[index, WindowRow.COMPLETE] = complete


@kernel
def correct_row(
    state: LearnerState,
    scratch: Scratch,
    correction: CorrectionArrays,
    labels: int,
    minimum_support: int,
    events: EventBuffer,
) -> None:
    """Learn a later truth of a row.

    The features of recent label sets are in the ensemble's scratch already. ``events`` needs capacity for one event.
    """
    added, members = correction.added, correction.members
    completes = correction.completes != 0
    _predict(state, scratch, correction.entries, labels, minimum_support, correction.row)
    mixer_learn_row(state.mixer, scratch.mixer, scratch.mixed, correction.changed, labels)
    ensemble_correct_row(
        state.ensemble,
        scratch.ensemble,
        correction.entries,
        correction.changed,
        added,
        correction.added_members,
        correction.truth,
        members,
        correction.complete != 0,
        completes,
        labels,
        correction.row,
    )
    any_added = False
    for label in range(labels):
        state.positives[label] += 1 if correction.changed[label] == 1 else 0
        any_added = any_added or added[label] >= 0
    decision = state.decision
    decided = decision_rows(decision)
    if any_added:
        thresholds_learn_row(decision.thresholds, scratch.decision.mixed, added, labels)
    if any_added and decided >= LEAST_ROWS:
        joint = scratch.decision.joint
        fixed_share_learn_row(decision.share, joint.probabilities, joint.marginals, added, labels)
    if not completes:
        return
    state.counters[Counter.COMPLETE_ROWS] += 1
    if decided >= LEAST_ROWS:
        utility_learn_row(decision.utility, scratch.decision.joint.candidates, correction.truth, members.size)
    learned_pool_learn_row(decision.pool, scratch.decision.pool, members, labels, state.positives)
    tree_prior_learn_row(decision.tree, state.partition.tree, members)
    note_joint_decoding(state, events, 0, decided)
    partition_learn_row(state.partition, members)
