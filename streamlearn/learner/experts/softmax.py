"""Softmax regression over the labels: a linear expert for labels that exclude each other.

With z the linear scores of the labels and 0 the score of "no label", p_l = exp(z_l) / (1 + sum of exp(z_k)); the
expert's logit is ln(p_l / (1 - p_l)). The target of a row with k labels is 1 / k for each of them. Steps are AdaGrad's
with step 2 and start .3. Only rows whose labels are all known are learnt.

Source: multinomial logistic regression; the target is the normalised pick-all-labels reduction of Menon, Rawat, Reddi
and Kumar, *Multilabel reductions: what is my loss optimising?* (NeurIPS 2019); the step is that of `adagrad_linear`.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.adagrad_linear import AdaGradState, adagrad_predict_row, adagrad_step_row
from streamlearn.numerics.exp_log import exp32, log32
from streamlearn.numerics.logistic import sigmoid32

SOFTMAX_STEP = 2.0
SOFTMAX_START = 0.3
_LEAST = np.float32(1e-6)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def softmax_predict_row(
    state: AdaGradState, columns: np.ndarray, values: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write the logits to ``out`` float32[labels]; probabilities are clipped to [1e-6, 1 - 1e-6].

    ``columns`` int32 and ``values`` float32 are one instance's entries.
    """
    adagrad_predict_row(state, columns, values, labels, out)
    highest = _ZERO
    for label in range(labels):
        highest = max(highest, out[label])
    for label in range(labels):
        out[label] = exp32(out[label] - highest)
    total = exp32(-highest)
    for label in range(labels):
        total += out[label]
    for label in range(labels):
        share = min(max(out[label] / total, _LEAST), _ONE - _LEAST)
        out[label] = share / (_ONE - share)
    for label in range(labels):
        out[label] = log32(out[label])


@kernel
def softmax_learn_row(
    state: AdaGradState,
    columns: np.ndarray,
    values: np.ndarray,
    truth: np.ndarray,
    positives: int,
    logits: np.ndarray,
    labels: int,
    gradient: np.ndarray,
) -> None:
    """Take one step for a row whose labels are all known.

    ``truth`` int8[labels] is 1 or 0, ``positives`` is the number of ones; ``logits`` float32[labels] were predicted for
    the row; ``gradient`` is scratch, as for `adagrad_learn_row`.
    """
    share = _ONE / np.float32(max(positives, 1))
    for label in range(labels):
        probability = sigmoid32(logits[label])
        gradient[label] = probability - share * np.float32(truth[label])
    adagrad_step_row(state, columns, values, labels, gradient)


@kernel
def softmax_correct_row(
    state: AdaGradState,
    columns: np.ndarray,
    values: np.ndarray,
    changed: np.ndarray,
    positives: int,
    logits: np.ndarray,
    labels: int,
    gradient: np.ndarray,
) -> None:
    """Take one step for the corrected labels of a row whose labels are all known.

    ``changed`` int8[labels] is their new truth, -1 for all other labels; the rest as for `softmax_learn_row`.
    """
    share = _ONE / np.float32(max(positives, 1))
    for label in range(labels):
        probability = sigmoid32(logits[label])
        gradient[label] = _ZERO if changed[label] < 0 else probability - share * np.float32(changed[label])
    adagrad_step_row(state, columns, values, labels, gradient)
