"""Labels that come apart from their instance."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr


class Label(BaseModel):
    """The truth of one instance, complete as a list, partial as an object. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True)

    id: StrictStr | StrictInt = Field(description="The instance's id; at most 256 bytes")
    y: list[StrictStr] | dict[str, StrictBool] = Field(description="Labels")
