"""Instances, as read from the instances topic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Value = StrictBool | StrictFloat | StrictStr | None


class Instance(BaseModel):
    """An instance to predict, with or without its truth.

    ``x`` maps feature names to values, or is a vector. ``y`` as a list is a complete truth: all other labels are false.
    As an object it is partial: labels not in it are unknown. Missing, null or an empty object is no truth. Numbers are
    float64, integers too; numbers out of its range are refused. Unknown fields are ignored. The lengths of ids, names
    and records are limited by the settings in section ``limits``, not by this model.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    id: StrictStr | StrictInt | None = Field(
        default=None, description="Identifies the instance for labels that arrive later"
    )
    x: dict[str, Value] | list[StrictFloat | None] = Field(description="Features")
    y: list[StrictStr] | dict[str, StrictBool] | None = Field(default=None, description="Labels")
    ts: StrictStr | StrictInt | StrictFloat | None = Field(
        default=None, description="Time of the instance, for people; the engine does not use it"
    )
