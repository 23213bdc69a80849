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
    MEMBER_CAPACITY,
    ROW_CAPACITY,
    Cursor,
    Row,
    RowWindowState,
    have_same_labels,
)

NEIGHBOURS = 4
MIN_DISTANCE = np.float32(1e-3)
"""Smaller distances count as this one, which bounds the weight of a vote."""

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def combination_vote(
    rows: RowWindowState,
    distance: np.ndarray,
    window: np.ndarray,
    cluster_of: np.ndarray,
    cluster: int | np.int64,
    labels: np.ndarray,
    nearest: np.ndarray,
    nearest_distance: np.ndarray,
    probability: np.ndarray,
    chosen: np.ndarray,
) -> int:
    """Predict one cluster's labels from a window of rows; return how many neighbours voted, 0 to NEIGHBOURS.

    Parameters
    ----------
    rows: the kept rows.
    distance: float32[ROW_CAPACITY], the distance of each kept row from the instance.
    window: int64, row numbers (-1: none).
    cluster_of: int32[labels]; cluster: the cluster to predict, labels: int32, its labels.
    nearest, nearest_distance: int64 and float32 [NEIGHBOURS], scratch memory.
    probability, chosen: float32 and uint8 [labels], written for ``labels`` if any row votes.
    """
    found = 0
    for i in range(window.size):
        number = window[i]
        if number < rows.cursor[Cursor.FIRST]:
            continue
        d = distance[number % ROW_CAPACITY]
        if found == NEIGHBOURS:
            farthest = nearest_distance[found - 1]
            if d > farthest or (d == farthest and number < nearest[found - 1]):
                continue
        rank = found if found < NEIGHBOURS else NEIGHBOURS - 1
        found = min(found + 1, NEIGHBOURS)
        while rank > 0 and (
            nearest_distance[rank - 1] > d or (nearest_distance[rank - 1] == d and nearest[rank - 1] < number)
        ):
            nearest_distance[rank] = nearest_distance[rank - 1]
            nearest[rank] = nearest[rank - 1]
            rank -= 1
        nearest_distance[rank] = d
        nearest[rank] = number
    if found == 0:
        return 0
    total = _ZERO
    most = _ZERO
    winner = nearest[0]
    for label in labels:
        probability[label] = _ZERO
        chosen[label] = 0
    for voter in range(found):
        weight = _ONE / max(nearest_distance[voter], MIN_DISTANCE)
        total += weight
        votes = _ZERO
        for other in range(found):
            if have_same_labels(rows, nearest[voter], nearest[other], cluster_of, cluster):
                votes += _ONE / max(nearest_distance[other], MIN_DISTANCE)
        if votes > most:
            most = votes
            winner = nearest[voter]
        start = rows.row[nearest[voter] % ROW_CAPACITY, Row.MEMBER_START]
        for member in range(rows.row[nearest[voter] % ROW_CAPACITY, Row.MEMBER_COUNT]):
            label = rows.members[(start + member) % MEMBER_CAPACITY]
            if label >= 0 and cluster_of[label] == cluster:
                probability[label] += weight
    for label in labels:
        probability[label] /= total
    start = rows.row[winner % ROW_CAPACITY, Row.MEMBER_START]
    for member in range(rows.row[winner % ROW_CAPACITY, Row.MEMBER_COUNT]):
        label = rows.members[(start + member) % MEMBER_CAPACITY]
        if label >= 0 and cluster_of[label] == cluster:
            chosen[label] = 1
    return found
