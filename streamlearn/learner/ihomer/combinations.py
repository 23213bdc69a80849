"""The low-complexity learner of a leaf: label combinations, by the nearest rows of the leaf's window.

The NEIGHBOURS nearest rows vote for their label set within the cluster, with weight 1 / distance; the set with the most
votes is predicted (ties: the nearest of them), and a label's probability is its share of the votes.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.ihomer.row_window import (
    FIRST,
    MEMBER_COUNT,
    MEMBER_START,
    MEMBERS,
    ROWS,
    RowsState,
    rows_same_set,
)

NEIGHBOURS = 4
LEAST_DISTANCE = np.float32(1e-3)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def combination_vote(
    rows: RowsState,
    distance: np.ndarray,
    window: np.ndarray,
    cluster_of: np.ndarray,
    cluster: int | np.int64,
    labels: np.ndarray,
    nearest: np.ndarray,
    near: np.ndarray,
    probability: np.ndarray,
    chosen: np.ndarray,
) -> int:
    """Predict one cluster's labels from a window of rows; return how many neighbours voted, 0 to NEIGHBOURS.

    Parameters
    ----------
    rows: the kept rows; distance: float32[ROWS], the distance of each from the instance; window: int64, numbers of
    rows (-1: none); cluster_of: int32; cluster: whose labels, int32, are ``labels``; nearest: int64[NEIGHBOURS] and
    near: float32[NEIGHBOURS], scratch; probability: float32 and chosen: uint8, written for ``labels`` if any row votes.
    """
    found = 0
    for place in range(window.size):
        number = window[place]
        if number < rows.cursor[FIRST]:
            continue
        far = distance[number % ROWS]
        if found == NEIGHBOURS and (far > near[found - 1] or (far == near[found - 1] and number < nearest[found - 1])):
            continue
        at = found if found < NEIGHBOURS else NEIGHBOURS - 1
        found = min(found + 1, NEIGHBOURS)
        while at > 0 and (near[at - 1] > far or (near[at - 1] == far and nearest[at - 1] < number)):
            near[at] = near[at - 1]
            nearest[at] = nearest[at - 1]
            at -= 1
        near[at] = far
        nearest[at] = number
    if found == 0:
        return 0
    total = _ZERO
    most = _ZERO
    winner = nearest[0]
    for label in labels:
        probability[label] = _ZERO
        chosen[label] = 0
    for voter in range(found):
        weight = _ONE / max(near[voter], LEAST_DISTANCE)
        total += weight
        votes = _ZERO
        for other in range(found):
            if rows_same_set(rows, nearest[voter], nearest[other], cluster_of, cluster):
                votes += _ONE / max(near[other], LEAST_DISTANCE)
        if votes > most:
            most = votes
            winner = nearest[voter]
        start = rows.row[nearest[voter] % ROWS, MEMBER_START]
        for member in range(rows.row[nearest[voter] % ROWS, MEMBER_COUNT]):
            label = rows.members[(start + member) % MEMBERS]
            if label >= 0 and cluster_of[label] == cluster:
                probability[label] += weight
    for label in labels:
        probability[label] /= total
    start = rows.row[winner % ROWS, MEMBER_START]
    for member in range(rows.row[winner % ROWS, MEMBER_COUNT]):
        label = rows.members[(start + member) % MEMBERS]
        if label >= 0 and cluster_of[label] == cluster:
            chosen[label] = 1
    return found
