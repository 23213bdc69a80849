"""Instances, as read from the instances topic."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from streamlearn.records.truth_value import label_value

Value = StrictBool | StrictFloat | StrictStr | None
LabelValue = Annotated[StrictBool | None, BeforeValidator(label_value)]


def _known(labels: dict[str, bool | None]) -> dict[str, bool | None]:
    return {name: value for name, value in labels.items() if value is not None}


PartialTruth = Annotated[dict[str, LabelValue], AfterValidator(_known)]
"""Labels to true or 1, false or 0; a label that is null is left out, since it is unknown."""


class Instance(BaseModel):
    """An instance to predict, with or without its truth.

    ``x`` maps feature names to values, or is a vector. ``y`` as a list is a complete truth: all other labels are false.
    As an object it is partial: labels that are null or not in it are unknown. Missing, null or an object without a
    known label is no truth. Numbers are float64, integers too; numbers out of its range are refused. Unknown fields are
    ignored. The lengths of ids, names and records are limited by the settings in section ``limits``, not by this model.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    id: StrictStr | StrictInt | None = Field(
        default=None, description="Identifies the instance for labels that arrive later"
    )
    x: dict[str, Value] | list[StrictFloat | None] = Field(description="Features")
    y: list[StrictStr] | PartialTruth | None = Field(default=None, description="Labels")
    ts: StrictStr | StrictInt | StrictFloat | None = Field(
        default=None, description="Time of the instance, for people; the engine does not use it"
    )
