"""Predictions, as written to the predictions topic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class ModelPoint(BaseModel):
    """The model that predicted, and how much it had seen."""

    model_config = ConfigDict(frozen=True)

    lineage: str = Field(description="Identity of the model")
    preset: str
    seen: int = Field(description="Instances observed before this one", ge=0)
    learned: int = Field(description="Instances learnt before this one", ge=0)


class SourcePoint(BaseModel):
    """Position of an input record."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


class Prediction(BaseModel):
    """The predicted label set of one instance. All fields are deterministic."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    id: str
    labels: list[str] = Field(description="The predicted label set, most probable first; it may be empty")
    scores: dict[str, float] = Field(description="Probabilities of the predicted labels and of the best others")
    rule: str
    model: ModelPoint
    source: SourcePoint
