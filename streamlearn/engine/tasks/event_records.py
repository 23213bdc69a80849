"""A model's events as records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class HappenedEvent(Protocol):
    """What an event of a model says; `model.micro_batch.ModelEvent` is one."""

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


class AppliedRecord(Protocol):
    """A record of a topic; `source.base.RawRecord` is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


def event_record(event: HappenedEvent, now_ns: int, source: AppliedRecord | None = None) -> Mapping[str, Any]:
    """Return the fields of a `records.event.Event`, means rounded to nine decimals; ``source`` is the record that was
    learnt when it happened."""
    record = {
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
    if source is not None:
        record["source"] = {"topic": source.topic, "partition": source.partition, "offset": source.offset}
    return record
