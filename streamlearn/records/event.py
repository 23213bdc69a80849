"""Events of a model, as written to the events topic."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from streamlearn.records.prediction import SourcePoint


class EventPoint(BaseModel):
    """Time of an event: the learnt row, zero-based, and the journal's clock in nanoseconds."""

    model_config = ConfigDict(frozen=True)

    row: int = Field(ge=0)
    now_ns: int


class Event(BaseModel):
    """A drift alarm, a change of the partition or of the label space, a rollback to an earlier snapshot, an upgrade to
    another model version, or labels that lie in other partitions than their instances."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    kind: Literal["drift", "partition", "label", "tree", "rollback", "upgrade", "partitioner"]
    at: EventPoint
    scope: Literal["model", "cluster", "label"]
    name: str = Field(description="The cluster or label; the partitioners; empty for the model")
    signal: Literal[
        "loss",
        "excess_loss",
        "code_length",
        "dissimilarity",
        "label_sets",
        "rate",
        "sequence",
        "model_version",
        "misplaced_labels",
    ]
    direction: Literal["worse", "better", "none"]
    before: float = Field(description="The signal before; of a loss, its mean")
    after: float = Field(description="The signal after")
    n: int = Field(description="Rows that the signal after is computed from", ge=0)
    since_row: int = Field(description="First of these rows", ge=0)
    action: Literal["none", "retest", "reset", "rebuild", "rollback", "upgrade"]
    source: SourcePoint | None = Field(default=None, description="The record whose truth was learnt when it happened")
