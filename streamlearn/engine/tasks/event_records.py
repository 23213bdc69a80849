"""Builds the event records of a model's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlearn.model.model_event import ModelEvent
from streamlearn.source.base import RawRecord


def event_record(event: ModelEvent, now_ns: int, source: RawRecord | None = None) -> Mapping[str, Any]:
    """Return the fields of a `records.event.Event`; means are rounded to nine decimals.

    ``source`` is the input record that was learnt when the event happened.
    """
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
