"""Parameters of the embedded class as attributes that can be read and not be assigned."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from streamlearn.errors import FixedParameterError
from streamlearn.printable import shown

Value = TypeVar("Value")


class Fixed(Generic[Value]):
    """A parameter of the constructor, which puts its value into the object's ``__dict__``; afterwards it is fixed."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Fixed[Value]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> Fixed[Value] | Value:
        if instance is None:
            return self
        try:
            return vars(instance)[self._name]
        except KeyError:
            raise AttributeError(f"{owner.__name__}.__init__ has not set {self._name}") from None

    def __set__(self, instance: object, value: Any) -> None:
        raise FixedParameterError(
            f"{self._name} cannot be set to {shown(value)}: the parameters of a {type(instance).__name__} are fixed. "
            f"model.clone({{'{self._name}': ...}}) returns a new one with another value, which has learnt nothing; "
            "with include_attributes=True it has learnt what the model has"
        )

    def __delete__(self, instance: object) -> None:
        raise FixedParameterError(f"{self._name} cannot be deleted: it is a parameter of a {type(instance).__name__}")
