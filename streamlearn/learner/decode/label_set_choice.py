"""Choice of the label set: applies a decision rule to one row, by scores alone or by the posterior over label sets.

A rule is a pure function of the results of one row's inference, so several rules can be applied to one row. With fewer
than 10 decayed complete rows, the rules that use label sets fall back to a threshold of .5 on the labels' own
probabilities.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.decision import DecisionScratch, DecisionState, decision_rows
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.decode.thresholds import thresholds_choose
from streamlearn.learner.decode.utility import BALANCED, Candidate, utility_choose
from streamlearn.learner.scores import best_labels, probability


class RuleCode(IntEnum):
    """Decision rules as kernels take them."""

    BALANCED = 0  # candidate with the highest utility of F1 and subset accuracy
    SUBSET = 1  # best pooled set; the candidate with the highest F1 utility if there is none
    F1 = 2  # candidate with the highest utility of F1 alone
    HAMMING = 3  # labels whose mixed probability exceeds .5
    MACRO = 4  # labels whose mixed probability exceeds their own threshold
    TOP_K = 5  # the `count` labels with the largest logits
    THRESHOLD = 6  # labels whose probability is at least `threshold`


RULE_CODES = {
    "balanced": RuleCode.BALANCED,
    "subset": RuleCode.SUBSET,
    "f1": RuleCode.F1,
    "hamming": RuleCode.HAMMING,
    "macro": RuleCode.MACRO,
    "top_k": RuleCode.TOP_K,
    "threshold": RuleCode.THRESHOLD,
}
"""The rules by the ``kind`` of `settings.rule.Rule`."""

_HALF = np.float32(0.5)


@kernel
def choose_by_score(
    rule: int | np.int64,
    count: int | np.int64,
    threshold: float,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
    order: np.ndarray,
    chosen: np.ndarray,
) -> bool:
    """Choose as `choose_label_set` does if the rule is TOP_K or THRESHOLD; else return False."""
    if rule == RuleCode.TOP_K:
        for label in range(labels):
            chosen[label] = 0
        for i in range(best_labels(logits, labels, allowed, min(count, labels), order)):
            chosen[order[i]] = 1
    elif rule == RuleCode.THRESHOLD:
        for label in range(labels):
            chosen[label] = 1 if allowed[label] and probability(logits[label]) >= threshold else 0
    else:
        return False
    return True


@kernel
def choose_by_posterior(
    state: DecisionState,
    scratch: DecisionScratch,
    rule: int | np.int64,
    labels: int,
    allowed: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Choose as `choose_label_set` does; ``rule`` is neither TOP_K nor THRESHOLD."""
    if rule == RuleCode.MACRO:
        thresholds_choose(state.thresholds, scratch.mixed, labels, allowed, chosen)
        return
    for label in range(labels):
        chosen[label] = 0
    if rule == RuleCode.HAMMING:
        for label in range(labels):
            if allowed[label] and scratch.mixed[label] > _HALF:
                chosen[label] = 1
        return
    if decision_rows(state) < LEAST_ROWS:
        for label in range(labels):
            if allowed[label] and scratch.joint.probabilities[label] > _HALF:
                chosen[label] = 1
        return
    proposed = scratch.joint.candidates
    candidate = np.int64(Candidate.POOL_SET)
    if rule != RuleCode.SUBSET or proposed.size[Candidate.POOL_SET] < 0:
        candidate = utility_choose(state.utility, proposed, BALANCED if rule == RuleCode.BALANCED else 0.0)
    for i in range(proposed.size[candidate]):
        chosen[proposed.members[candidate, i]] = 1


@kernel
def choose_label_set(
    state: DecisionState,
    scratch: DecisionScratch,
    rule: int | np.int64,
    count: int | np.int64,
    threshold: float,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
    order: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Choose the label set of an answer, after `decision_infer_row` has filled ``scratch`` for the row.

    Parameters
    ----------
    state, scratch
        The decision; the results of inference.
    rule
        A `RuleCode`.
    count
        Number of labels, of TOP_K.
    threshold
        Least probability, of THRESHOLD.
    logits
        float32[labels], the mixed logits.
    labels
        Labels as of the row.
    allowed
        uint8[labels], 1 for a label that may be predicted.
    order
        int32[labels], scratch.
    chosen
        uint8[labels], set to 1 for the chosen labels and to 0 for the others.
    """
    if not choose_by_score(rule, count, threshold, logits, labels, allowed, order, chosen):
        choose_by_posterior(state, scratch, rule, labels, allowed, chosen)
