"""Several instances or truths come in a list or another iterable; single ones, frames and arrays are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from streamlearn.arguments.rows import as_instances, as_truths
from streamlearn.arguments.truths import as_truth
from streamlearn.errors import UsageError


@pytest.mark.parametrize("rows", [[], [{}], ({},), iter([{}])])
def test_any_iterable(rows: Any) -> None:
    assert as_instances(rows, "X") is rows
    assert as_truths(rows, "Y") is rows


@pytest.mark.parametrize(
    ("rows", "of_instances", "of_truths"),
    [
        (pd.DataFrame({"a": [1, 0]}), 'pass {0}.to_dict("records")', 'pass {0}.to_dict("records")'),
        (pl.DataFrame({"a": [1, 0]}), "pass {0}.to_dicts()", "pass {0}.to_dicts()"),
        (
            np.zeros((2, 2)),
            "pass [dict(enumerate(row)) for row in {0}.tolist()]",
            "pass [dict(zip(names, row)) for row in {0}.tolist()]",
        ),
        (pd.Series([1, 2]), "a list with one entry for each row", "a list with one entry for each row"),
        ({"a": 1}, "a list with one entry for each row", "a list with one entry for each row"),
        ("text", "a list with one entry for each row", "a list with one entry for each row"),
        ({("a",)}, "a list with one entry for each row", "a list with one entry for each row"),
        (5, "a list with one entry for each row", "a list with one entry for each row"),
    ],
)
def test_anything_else_is_refused(rows: Any, of_instances: str, of_truths: str) -> None:
    with pytest.raises(UsageError) as instances:
        as_instances(rows, "X")
    assert of_instances.format("X") in str(instances.value)
    with pytest.raises(UsageError) as truths:
        as_truths(rows, "Y")
    assert of_truths.format("Y") in str(truths.value)


def test_the_expressions_in_the_errors_work() -> None:
    names = ["p", "q"]
    for rows, expression in (
        (pd.DataFrame({"a": [1, 0]}), 'Y.to_dict("records")'),
        (pl.DataFrame({"a": [1, 0]}), "Y.to_dicts()"),
        (np.array([[1, 0]]), "[dict(zip(names, row)) for row in Y.tolist()]"),
        (csr_array(np.array([[1, 0]])), "[dict(zip(names, row)) for row in Y.toarray().tolist()]"),
        (pd.Series([["p"], []]), "Y.tolist()"),
        (pl.Series([["p"], []]), "Y.to_list()"),
    ):
        with pytest.raises(UsageError) as refused:
            as_truths(rows, "Y")
        assert expression in str(refused.value)
        truths = as_truths(eval(expression, {"Y": rows, "names": names}), "Y")
        assert [as_truth(truth, "Y") for truth in truths]
