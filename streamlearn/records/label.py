"""Labels that arrive separately from their instance, as read from the labels topic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr


class Label(BaseModel):
    """The truth of one instance, complete as a list, partial as an object; see `instance.Instance`.

    An empty object is accepted here, but refused by `codec.decode`, since it has no label. Unknown fields are ignored.
    """

    model_config = ConfigDict(frozen=True)

    id: StrictStr | StrictInt = Field(description="Id of the instance")
    y: list[StrictStr] | dict[str, StrictBool] = Field(description="Labels")
