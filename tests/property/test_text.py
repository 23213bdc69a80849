"""Text fields equal the naive bag of words of `tests/naive/encoder/text.py`, for any batches, orders and bounds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamlearn.encoder import text as text_module
from streamlearn.encoder.row import EncodedRows, Encoder
from streamlearn.encoder.text import TextFields
from streamlearn.state.arrays import state_hash
from tests.naive.encoder.row import Encoder as NaiveEncoder
from tests.naive.encoder.text import replace_texts

FIELDS = ["title", "body"]
LETTERS = "ab B_1.,'\né\u0301Éßİ\u0130ﬁ返金カ\U00020000\ud800-"

texts = st.one_of(
    st.lists(
        st.sampled_from(["card", "Card", "refund", "the", "parcel", "aaaaaaaaa", "返金", "straße"]), max_size=9
    ).map(" ".join),
    st.text(LETTERS, max_size=20),
    st.text(max_size=20),
)
odd = st.sampled_from([1.0, 2, True, None, float("nan"), 0.0])
instances = st.fixed_dictionaries(
    {}, optional={"title": st.one_of(texts, odd), "body": texts, "n": odd, "kind": st.sampled_from(["a", "b"])}
)
rows_of = st.lists(instances, max_size=25)
options_of = st.fixed_dictionaries(
    {
        "columns": st.sampled_from([1, 7, 1 << 15]),
        "words_per_field": st.sampled_from([1, 4, 1_000]),
        "word_length": st.sampled_from([1, 6, 40]),
        "pairs": st.booleans(),
    }
)
spaces = st.fixed_dictionaries({"maximum": st.sampled_from([3, 20, 1_000]), "hashed": st.booleans()})


def encoder_of(space: dict[str, Any], options: dict[str, Any]) -> Encoder:
    return Encoder(**space, text=TextFields(FIELDS, **options))


def bits(encoded: EncodedRows, row: int) -> tuple[bytes, ...]:
    entries = slice(encoded.starts[row], encoded.starts[row + 1])
    views = (encoded.columns, encoded.values, encoded.rarity_weighted, encoded.bins)
    return tuple(view[entries].tobytes() for view in views)


@settings(max_examples=300, deadline=None)
@given(space=spaces, options=options_of, rows=rows_of, asked=instances)
@example(
    {"maximum": 1_000, "hashed": False},
    {"columns": 1 << 15, "words_per_field": 1_000, "word_length": 40, "pairs": True},
    [{"title": "Caf\u00e9 Noir", "body": "cafe\u0301 noir"}],
    {"title": "返金カ"},
)
def test_text_fields_equal_the_naive_bag_of_words(
    space: dict[str, Any], options: dict[str, Any], rows: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    encoder = encoder_of(space, options)
    twin = NaiveEncoder(space["maximum"], space["hashed"], [])
    too_long = too_many = 0

    def expected(x: dict[str, Any], observe: bool) -> list[Any]:
        nonlocal too_long, too_many
        numbers, long, rest = replace_texts(
            x, FIELDS, options["columns"], options["words_per_field"], options["word_length"], options["pairs"]
        )
        too_long, too_many = too_long + long, too_many + rest
        return twin.encode(numbers, observe)

    encoded = encoder.encode(rows, observe=True)
    wanted = [expected(x, True) for x in rows]
    dropped = {**twin.dropped, "word_too_long": too_long, "text_words_full": too_many}
    assert encoded.dropped == {reason: count for reason, count in dropped.items() if count}
    before = state_hash(encoder.arrays())
    frozen = encoder.encode([asked], observe=False)
    wanted.append(expected(asked, False))
    assert state_hash(encoder.arrays()) == before
    for row, entries in enumerate(wanted):
        part, index = (encoded, row) if row < len(rows) else (frozen, 0)
        span = slice(part.starts[index], part.starts[index + 1])
        assert part.columns[span].tolist() == [entry.column for entry in entries]
        np.testing.assert_allclose(part.values[span], [entry.value for entry in entries], rtol=2e-5, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(space=spaces, options=options_of, rows=rows_of, cuts=st.sets(st.integers(0, 25)))
def test_texts_may_be_encoded_in_any_batches(
    space: dict[str, Any], options: dict[str, Any], rows: list[dict[str, Any]], cuts: set[int]
) -> None:
    whole, parts = encoder_of(space, options), encoder_of(space, options)
    together = whole.encode(rows, observe=True)
    dropped: dict[str, int] = {}
    for first, last in pairwise(sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})):
        part = parts.encode(rows[first:last], observe=True)
        for reason, count in part.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        for row in range(last - first):
            assert bits(part, row) == bits(together, first + row)
    assert dropped == together.dropped
    assert state_hash(whole.arrays()) == state_hash(parts.arrays())


@settings(max_examples=100, deadline=None)
@given(options=options_of, rows=rows_of)
def test_neither_the_order_of_names_nor_the_field_of_a_text_matters(
    options: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    other_field = {"title": "body", "body": "title"}
    turned = [dict(reversed([(other_field.get(name, name), value) for name, value in x.items()])) for x in rows]
    rows = [{name: value for name, value in x.items() if name == "kind" or isinstance(value, str)} for x in rows]
    turned = [{name: value for name, value in x.items() if name == "kind" or isinstance(value, str)} for x in turned]
    one, other = (encoder_of({"maximum": 1_000}, options) for _ in range(2))
    ours, theirs = one.encode(rows, observe=True), other.encode(turned, observe=True)
    for row in range(len(rows)):
        assert bits(ours, row) == bits(theirs, row)
    assert state_hash(one.arrays()) == state_hash(other.arrays())


@settings(max_examples=100, deadline=None)
@given(options=options_of, before=rows_of, after=rows_of, cache_size=st.sampled_from([1, 3]))
def test_a_restored_encoder_encodes_alike_with_any_cache_size(
    options: dict[str, Any], before: list[dict[str, Any]], after: list[dict[str, Any]], cache_size: int
) -> None:
    bound = text_module.NGRAM_CACHE_SIZE
    encoder, restored = (encoder_of({"maximum": 1_000}, options) for _ in range(2))
    encoder.encode(before, observe=True)
    ours = encoder.encode(after, observe=False)
    try:
        text_module.NGRAM_CACHE_SIZE = cache_size
        restored.load_arrays({name: array.copy() for name, array in encoder.arrays().items()})
        theirs = restored.encode(after, observe=False)
        assert len(restored._text._names) <= cache_size
    finally:
        text_module.NGRAM_CACHE_SIZE = bound
    for row in range(len(after)):
        assert bits(ours, row) == bits(theirs, row)
