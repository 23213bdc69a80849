"""A fixed parameter can be read, and neither assigned nor deleted."""

from __future__ import annotations

import pytest

from streamlearn.arguments.fixed import Fixed
from streamlearn.errors import FixedParameterError


class Owner:
    size = Fixed[int]()

    def __init__(self, size: int | None = None) -> None:
        if size is not None:
            vars(self).update(size=size)


def test_a_fixed_parameter() -> None:
    owner, other = Owner(1), Owner(2)
    for change in (lambda: setattr(owner, "size", "a\nb"), lambda: delattr(owner, "size")):
        with pytest.raises(FixedParameterError, match=r"^size cannot be .* Owner"):
            change()
    assert (owner.size, other.size) == (1, 2)
    assert isinstance(Owner.size, Fixed)


def test_one_without_a_value_is_an_attribute_that_is_missing() -> None:
    assert not hasattr(Owner(), "size")
