"""Half a surrogate pair is found wherever it stands; everything else is text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamlearn.surrogates import half_pair

TEXT = st.text(alphabet=st.characters(categories=["L", "Cs", "So"]))


@given(st.lists(TEXT))
def test_the_first_half_is_found(texts: list[str]) -> None:
    halves = [f"\\u{ord(character):04x}" for text in texts for character in text if 0xD800 <= ord(character) < 0xE000]
    assert half_pair(texts) == (halves[0] if halves else "")


def test_two_halves_in_a_row_are_no_pair() -> None:
    assert half_pair(["\ud83d", "\ude00"]) == "\\ud83d"
    assert half_pair(["\ud83d\ude00"]) == "\\ud83d"
    assert half_pair(["\U0001f600"]) == ""
