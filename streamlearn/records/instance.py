"""An instance as it comes in."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Value = StrictBool | StrictFloat | StrictStr | None


class Instance(BaseModel):
    """An instance to answer, with its truth or without.

    ``x`` names features, or is a vector. ``y`` as a list is a complete truth: every other label is false. As an object
    it is partial: names not in it are unknown. Missing, null or an empty object is no truth. Numbers are
    float64, whole ones too; what is beyond its range is refused. Unknown fields are ignored.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    id: StrictStr | StrictInt | None = Field(
        default=None, description="Joins labels that come later; at most 256 bytes"
    )
    x: dict[str, Value] | list[StrictFloat | None] = Field(description="Features")
    y: list[StrictStr] | dict[str, StrictBool] | None = Field(default=None, description="Labels")
    ts: StrictStr | StrictInt | StrictFloat | None = Field(default=None, description="When it happened; for people")
