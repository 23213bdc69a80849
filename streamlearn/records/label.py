"""Labels that arrive separately from their instance, as read from the labels topic."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from streamlearn.records.instance import PartialTruth


class Label(BaseModel):
    """The truth of one instance, complete as a list, partial as an object; see `instance.Instance`.

    An object without a known label is accepted here, but refused by `codec.decode`. Unknown fields are ignored.
    """

    model_config = ConfigDict(frozen=True)

    id: StrictStr | StrictInt = Field(description="Id of the instance")
    y: list[StrictStr] | PartialTruth = Field(description="Labels")
