"""Events of the learner: kernels append them to a buffer of numbers, and the owner reads them out."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel

ACTIONS = ("none", "retest", "reset")
"""Names of the actions of events."""


class EventKind(IntEnum):
    """Kinds of events."""

    DRIFT = 0  # the loss of a cluster has changed
    TREE = 1  # the tree of a label was reset to its root
    LABEL_SETS = 2  # enough label sets were learnt to decode them jointly


class EventAction(IntEnum):
    """What the learner did on an event: indices into `ACTIONS`."""

    NONE = 0  # nothing
    RETEST = 1  # it requested a test of the partition
    RESET = 2  # it reset a label's tree


class EventField(IntEnum):
    """Fields of a row of `EventBuffer.fields`."""

    OPERATION = 0  # index of the operation
    KIND = 1  # the `EventKind`
    SUBJECT = 2  # the cluster or the label slot
    ACTION = 3  # the `EventAction`
    ROWS = 4  # rows that the event is about, up to `ROW`
    ROW = 5  # the learnt row


class EventMean(IntEnum):
    """Fields of a row of `EventBuffer.means`."""

    BEFORE = 0  # the signal before the event
    AFTER = 1  # the signal after it


class EventBuffer(NamedTuple):
    """A buffer of n events.

    Attributes
    ----------
    fields
        int64[n, 6], fields `EventField`.
    means
        float64[n, 2], fields `EventMean`.
    size
        int64[1], events in the buffer.
    """

    fields: np.ndarray
    means: np.ndarray
    size: np.ndarray


class LearnerEvent(NamedTuple):
    """An event at an operation.

    Attributes
    ----------
    operation
        Index of the operation.
    kind
        ``drift``, ``partition``, ``label`` or ``tree``.
    scope
        What the event is about: ``model``, ``cluster`` or ``label``.
    slot
        The label's slot, or the lowest slot of the cluster.
    size
        Labels in the cluster, 1 for a label, 0 for the model.
    signal
        What ``before`` and ``after`` measure.
    direction
        ``better`` or ``worse``.
    before, after
        The signal before and after the event.
    rows
        Rows that the event is about.
    since_row
        The first row after the change.
    row
        The row learnt when the event was raised.
    action
        What the learner did.
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
    rows: int
    since_row: int
    row: int
    action: str


def event_buffer(size: int) -> EventBuffer:
    """Return an empty buffer with capacity for ``size`` events."""
    return EventBuffer(
        np.zeros((size, len(EventField)), np.int64), np.zeros((size, len(EventMean))), np.zeros(1, np.int64)
    )


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
    """Append an event; the buffer must not be full."""
    index = events.size[0]
    events.fields[index, EventField.OPERATION] = operation
    events.fields[index, EventField.KIND] = kind
    events.fields[index, EventField.SUBJECT] = subject
    events.fields[index, EventField.ACTION] = action
    events.fields[index, EventField.ROWS] = rows
    events.fields[index, EventField.ROW] = row
    events.means[index, EventMean.BEFORE] = before
    events.means[index, EventMean.AFTER] = after
    events.size[0] = index + 1


def drain(buffer: EventBuffer, cluster_of: np.ndarray) -> list[LearnerEvent]:
    """Return the events in order and empty the buffer; ``cluster_of`` int32[labels] is the cluster of each label."""
    events = []
    for index in range(int(buffer.size[0])):
        operation, kind, subject, action, rows, row = (int(value) for value in buffer.fields[index])
        before, after = (float(value) for value in buffer.means[index])
        since = max(0, row - rows + 1)
        if kind == EventKind.LABEL_SETS:
            about = ("label", "model", 0, 0, "label_sets", "better")
            since = row
        elif kind == EventKind.TREE:
            about = ("tree", "label", subject, 1, "excess_loss", "worse")
        else:
            members = np.flatnonzero(cluster_of == subject)
            first = int(members[0]) if members.size else cluster_of.size
            about = ("drift", "cluster", first, members.size, "loss", "worse" if after > before else "better")
        events.append(LearnerEvent(operation, *about, before, after, rows, since, row, ACTIONS[action]))
    buffer.size[0] = 0
    return events
