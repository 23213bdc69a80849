"""Decision rules: parsing and formatting."""

from __future__ import annotations

import pytest

from streamlearn.errors import UsageError
from streamlearn.settings.rule import Rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("subset", Rule("subset")),
        ("hamming", Rule("hamming")),
        ("top_k:3", Rule("top_k", count=3)),
        ("threshold:0.25", Rule("threshold", threshold=0.25)),
        ("threshold:0", Rule("threshold", threshold=0.0)),
        ("threshold:1", Rule("threshold", threshold=1.0)),
    ],
)
def test_rules_are_parsed_and_formatted(text: str, rule: Rule) -> None:
    assert Rule.parse(text) == rule
    assert str(rule) == text


@pytest.mark.parametrize(
    "text",
    ["", "best", "subset:1", "top_k", "top_k:", "top_k:0", "top_k:-1", "top_k:1.5", "top_k:²",
     "threshold", "balance", "threshold:", "threshold:x", "threshold:nan", "threshold:-0.1", "threshold:1.1"],
)  # fmt: skip
def test_other_texts_are_refused_and_the_error_lists_the_rules(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        Rule.parse(text)
    assert repr(text) in str(raised.value)
    for rule in ("subset", "hamming", "top_k:K", "threshold:P"):
        assert rule in str(raised.value)
