"""What happens to the learner, noted by kernels in a buffer of numbers and read out as events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel

DRIFT, TREE, LABEL_SETS = range(3)
"""Kinds of events: a cluster's loss has changed, a label's tree was reset to its root, enough label sets were seen to
decode them jointly."""

ACTIONS = ("none", "retest", "reset")
NOTHING, RETEST, RESET = range(len(ACTIONS))
"""What an event had the learner do: nothing, test the partition, begin a tree anew."""

_OPERATION, _KIND, _SUBJECT, _ACTION, _ROWS, _ROW, _FIELDS = range(7)
_BEFORE, _AFTER = 0, 1


class EventBuffer(NamedTuple):
    """``whole`` int64[n, 6] (operation, kind, cluster or label, action, rows that the event is about, row) and ``real``
    float64[n, 2] (before, after); ``size`` int64[1].
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
    return EventBuffer(np.zeros((size, _FIELDS), np.int64), np.zeros((size, 2)), np.zeros(1, np.int64))


@kernel
def note_event(
    events: EventBuffer,
    operation: int | np.int64,
    kind: int | np.int64,
    subject: int | np.int64,
    action: int | np.int64,
    rows: int | np.int64,
    row: int | np.int64,
    before: float,
    after: float,
) -> None:
    """Append an event; there must be room."""
    place = events.size[0]
    events.whole[place, _OPERATION] = operation
    events.whole[place, _KIND] = kind
    events.whole[place, _SUBJECT] = subject
    events.whole[place, _ACTION] = action
    events.whole[place, _ROWS] = rows
    events.whole[place, _ROW] = row
    events.real[place, _BEFORE] = before
    events.real[place, _AFTER] = after
    events.size[0] = place + 1


def drain(buffer: EventBuffer, cluster_of: np.ndarray) -> list[LearnerEvent]:
    """Return the buffer's events in order and empty it; ``cluster_of`` int32[labels] is each label's cluster."""
    events = []
    for place in range(int(buffer.size[0])):
        operation, kind, subject, action, rows, row = (int(value) for value in buffer.whole[place])
        before, after = (float(value) for value in buffer.real[place])
        since = max(0, row - rows + 1)
        if kind == LABEL_SETS:
            about = ("label", "model", 0, 0, "label_sets", "better")
            since = row
        elif kind == TREE:
            about = ("tree", "label", subject, 1, "excess_loss", "worse")
        else:
            members = np.flatnonzero(cluster_of == subject)
            first = int(members[0]) if members.size else cluster_of.size
            about = ("drift", "cluster", first, members.size, "loss", "worse" if after > before else "better")
        events.append(LearnerEvent(operation, *about, before, after, rows, since, row, ACTIONS[action]))
    buffer.size[0] = 0
    return events
