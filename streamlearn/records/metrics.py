"""Periodic measures, as written to the metrics topic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MeasureValues = dict[str, float | None]
"""Prequential measures by name; None without enough rows."""


class Metrics(BaseModel):
    """The measures of one task at one time; written outside transactions, so not exactly once."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    task: int = Field(ge=0)
    lineage: str
    now_ns: int
    seen: int = Field(ge=0)
    learned: int = Field(ge=0)
    labels: int = Field(ge=0)
    features: int = Field(ge=0)
    clusters: int = Field(ge=0)
    pending: int = Field(ge=0)
    window: MeasureValues
    whole: MeasureValues
