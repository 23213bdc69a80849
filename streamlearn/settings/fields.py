"""Building blocks of the settings: sections and their fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from streamlearn.printable import shown
from streamlearn.surrogates import half_pair, half_pair_fault


def setting(default: Any, meaning: str, unit: str = "", **limits: Any) -> Any:
    """Return a pydantic field with a meaning, a unit, a default and limits.

    Numbers and booleans are strict: ``true`` is not port 1, and a text is neither.
    """
    strict = True if isinstance(default, bool | int | float) else None
    return Field(default=default, description=meaning, json_schema_extra={"unit": unit}, strict=strict, **limits)


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _whole(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if half := half_pair((name,)):  # bytes of the environment or the command line that are not UTF-8
            raise ValueError(f"the name {shown(name)} {half_pair_fault(half)}")
    return names


Names = Annotated[tuple[str, ...], BeforeValidator(_comma_separated), AfterValidator(_whole)]
"""Type of a list of names, which may also be given as comma-separated text."""

NO_SECRET = SecretStr("")


def refuse(faults: Iterable[str]) -> None:
    """Raise `ValueError` with all faults of a section, a line each, if there are any."""
    text = "\n".join(faults)
    if text:
        raise ValueError(text)


class Section(BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
