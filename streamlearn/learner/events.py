"""What happens to the learner, noted by kernels in a buffer of numbers and read out as events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel

LABEL_SETS_READY = -1
"""In place of a cluster: from this row on enough label sets were seen to be decoded jointly."""

TREE_RESET = -2
"""In place of a cluster, less the label: the label's tree was reset to its root."""


class EventBuffer(NamedTuple):
    """``whole`` int64[n, 4] (operation; cluster, LABEL_SETS_READY, or TREE_RESET less a label; rows that the event is
    about; row) and ``real`` float64[n, 2] (before, after); ``size`` int64[1].
    """

    whole: np.ndarray
    real: np.ndarray
    size: np.ndarray


class LearnerEvent(NamedTuple):
    """What happened at an operation of a walk.

    ``scope`` is ``model``, ``cluster`` or ``label``; ``slot`` is the label's, or the cluster's lowest one, and ``size``
    counts the cluster's labels.
    """

    operation: int
    kind: str
    scope: str
    slot: int
    size: int
    signal: str
    direction: str
    before: float
    after: float
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    since_row: int
    row: int
    action: str


def event_buffer(size: int) -> EventBuffer:
    """Return an empty buffer."""
    return EventBuffer(np.zeros((size, 4), np.int64), np.zeros((size, 2)), np.zeros(1, np.int64))


@kernel
def note_event(
    events: EventBuffer,
    operation: int | np.int64,
    subject: int | np.int64,
    rows: int | np.int64,
    row: int | np.int64,
    before: float,
    after: float,
) -> None:
    """Append an event; there must be room."""
    place = events.size[0]
    events.whole[place, 0] = operation
    events.whole[place, 1] = subject
    events.whole[place, 2] = rows
    events.whole[place, 3] = row
    events.real[place, 0] = before
    events.real[place, 1] = after
    events.size[0] = place + 1


def drain(buffer: EventBuffer, cluster_of: np.ndarray) -> list[LearnerEvent]:
    """Return the buffer's events in order and empty it; ``cluster_of`` int32[labels] is each label's cluster."""
    events = []
    for place in range(int(buffer.size[0])):
        operation, subject, rows, row = (int(value) for value in buffer.whole[place])
        before, after = (float(value) for value in buffer.real[place])
        if subject == LABEL_SETS_READY:
            events.append(
                LearnerEvent(operation, "label", "model", 0, 0, "rate", "better", before, after, rows, 0, row, "none")
            )
        elif subject <= TREE_RESET:
            slot = TREE_RESET - subject
            since = max(0, row - rows + 1)
            events.append(
                LearnerEvent(
                    operation, "tree", "label", slot, 1, "loss", "worse", before, after, rows, since, row, "reset"
                )
            )
        else:
            events.append(_drift(operation, subject, rows, row, before, after, cluster_of))
    buffer.size[0] = 0
    return events


def _drift(
    operation: int, cluster: int, rows: int, row: int, before: float, after: float, cluster_of: np.ndarray
) -> LearnerEvent:
    members = np.flatnonzero(cluster_of == cluster)
    grew = after > before
    return LearnerEvent(
        operation,
        "drift",
        "cluster",
        int(members[0]) if members.size else cluster_of.size,
        members.size,
        "loss",
        "worse" if grew else "better",
        before,
        after,
        rows,
        max(0, row - rows + 1),
        row,
        "retest" if grew else "none",
    )
