"""Events of a model: what a learner reports by slot, and labels that join or retire, with the labels' names."""

from __future__ import annotations

from typing import NamedTuple

from streamlearn.encoder.labels import LabelTable
from streamlearn.learner.event_buffer import LearnerEvent
from streamlearn.state.names import Name


class ModelEvent(NamedTuple):
    """Something that happened to the model at an operation.

    ``op`` is the operation's number in its batch, ``row`` the zero-based learnt row. ``name`` is a label's, that of
    a cluster's lowest slot with the number of its others as a text, or empty for the whole model. ``before`` and
    ``after`` are means of the signal (nats per row for code length).
    """

    op: int
    row: int
    kind: str
    scope: str
    name: Name
    signal: str
    direction: str
    before: float
    after: float
    n: int
    since_row: int
    action: str


def name_event(event: LearnerEvent, op: int, labels: LabelTable) -> ModelEvent:
    """Return a learner's event, which happened at an operation, with the names of labels."""
    name: Name = ""
    if event.scope != "model" and event.slot < labels.count:
        others = event.size - 1
        name = "a retired label" if event.slot in labels.vacant else labels.names[event.slot]
        if others:
            name = f"{name} and {others} more"
    return ModelEvent(
        op=op,
        row=event.row,
        kind=event.kind,
        scope=event.scope,
        name=name,
        signal=event.signal,
        direction=event.direction,
        before=event.before,
        after=event.after,
        n=event.rows,
        since_row=event.since_row,
        action=event.action,
    )


def label_event(op: int, row: int, name: Name, before: float, after: float, rows: int) -> ModelEvent:
    """Return the event of a label that joins or retires; the signal is the share of rows in which it is true.

    ``before`` and ``after`` are that share over the last ``rows`` learnt rows, ``row`` the last of them.
    """
    joins = after > before
    return ModelEvent(
        op=op,
        row=row,
        kind="label",
        scope="label",
        name=name,
        signal="rate",
        direction="better" if joins else "worse",
        before=before,
        after=after,
        n=rows,
        since_row=max(0, row - rows + 1),
        action="none" if joins else "reset",
    )
