"""A label is true, false or unknown; anything else is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from streamlearn.records.truth_value import label_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (True, 1, 1.0, np.True_, np.int64(1), np.float32(1), Decimal(1), Fraction(1))),
        *((value, False) for value in (False, 0, 0.0, -0.0, np.False_, np.uint8(0), np.float64(0), np.array(0))),
        *((value, None) for value in (None, float("nan"), np.float32("nan"), Decimal("nan"), pd.NA, pd.NaT)),
        *((value, None) for value in (Decimal("snan"), np.ma.masked, np.array(None))),
    ],
)
def test_values(value: Any, expected: bool | None) -> None:
    assert label_value(value) is expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            2,
            -1,
            0.2,
            10**400,
            "0",
            "1",
            "False",
            "no",
            "",
            b"1",
            [],
            [1],
            {},
            1j,
            float("inf"),
            np.array([1]),
            object(),
        ),
        *(np.timedelta64(1, "ns"), np.timedelta64(1), np.datetime64(1, "ns")),
    ],
    ids=lambda value: f"{type(value).__name__}-{str(value)[:8]}",
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="value of a label"):
        label_value(value)
