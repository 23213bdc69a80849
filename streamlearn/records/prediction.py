"""An answer as it goes out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class ModelPoint(BaseModel):
    """Which model answered, and how much it had seen."""

    model_config = ConfigDict(frozen=True)

    lineage: str = Field(description="The model's identity")
    preset: str
    seen: int = Field(description="Instances observed before this one", ge=0)
    learned: int = Field(description="Instances learnt before this one", ge=0)


class SourcePoint(BaseModel):
    """The record that was answered."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class Prediction(BaseModel):
    """The label set of one instance. Every field is deterministic."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    id: str
    labels: list[str] = Field(description="The answer, most probable first; [] is an answer too")
    scores: dict[str, float] = Field(description="Probabilities of the answer's labels and of the best others")
    rule: str
    model: ModelPoint
    source: SourcePoint
