"""A model's events as records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class HappenedEvent(Protocol):
    """What an event of a model says; `plan.ModelEvent` is one."""

    @property
    def row(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def signal(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def before(self) -> float: ...
    @property
    def after(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def since_row(self) -> int: ...
    @property
    def action(self) -> str: ...


def event_record(event: HappenedEvent, now_ns: int) -> Mapping[str, Any]:
    """Return the fields of a `records.event.Event`; means are rounded to nine decimals."""
    return {
        "schema_version": 1,
        "kind": event.kind,
        "at": {"row": event.row, "now_ns": now_ns},
        "scope": event.scope,
        "name": event.name,
        "signal": event.signal,
        "direction": event.direction,
        "before": round(event.before, 9),
        "after": round(event.after, 9),
        "n": event.n,
        "since_row": event.since_row,
        "action": event.action,
    }
