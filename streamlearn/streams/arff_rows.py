"""A line of an ARFF file's data to an instance and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamlearn.streams.arff_text import split_entries, split_fields
from streamlearn.streams.base import StreamRow, Value

_TRUE = ("1", "1.0", "true", "yes")
_FALSE = ("0", "0.0", "false", "no")
_ZEROS_AND_ONES = frozenset("01")
MISSING = "?"


class Attribute(NamedTuple):
    """A declared attribute; ``values`` are those of a nominal one, else None."""

    name: str
    values: tuple[str, ...] | None


class RowReader:
    """Reads rows of declared attributes, dense and sparse.

    Parameters
    ----------
    attributes:
        In the order of the header.
    label_places:
        Which of them are labels, rising.
    """

    def __init__(self, attributes: Sequence[Attribute], label_places: Sequence[int]) -> None:
        self._attributes = attributes
        self._names = [attribute.name for attribute in attributes]
        self._label_places = list(label_places)
        self._is_label = [False] * len(attributes)
        for place in label_places:
            self._is_label[place] = True
        self._feature_places = [place for place, is_label in enumerate(self._is_label) if not is_label]
        self._label_names = [self._names[place] for place in label_places]
        self._is_numeric = [
            attribute.values is None and not is_label
            for attribute, is_label in zip(attributes, self._is_label, strict=True)
        ]
        # A label {1,0} that a sparse row leaves out is set: it has its first value.
        self._set_unless_given = {
            place: values[0]
            for place in label_places
            if (values := attributes[place].values) and values[0].lower() in _TRUE
        }

    def read(self, text: str) -> StreamRow:
        """Return the row of a line.

        Raises
        ------
        ValueError
            When the line does not fit the header; the message names the attribute and the offending text.
        """
        if text.startswith("{"):
            return self._sparse(text)
        fields = split_fields(text)
        if len(fields) != len(self._attributes):
            raise ValueError(f"{len(fields)} values for {len(self._attributes)} attributes")
        return StreamRow(self._dense_features(fields), self._dense_truth(fields))

    def _dense_features(self, fields: list[str]) -> list[Value]:
        try:
            return [
                float(fields[place]) if self._is_numeric[place] else self._nominal(place, fields[place])
                for place in self._feature_places
            ]
        except ValueError:
            return [self._value(place, fields[place]) for place in self._feature_places]

    def _dense_truth(self, fields: list[str]) -> list[str] | dict[str, bool]:
        given = [fields[place] for place in self._label_places]
        if _ZEROS_AND_ONES.issuperset(given):
            return [name for name, text in zip(self._label_names, given, strict=True) if text == "1"]
        return self._truth(dict(zip(self._label_places, given, strict=True)))

    def _sparse(self, text: str) -> StreamRow:
        if not text.endswith("}"):
            raise ValueError("a sparse row is not closed by a brace")
        body = text[1:-1].strip()
        names, is_label, is_numeric = self._names, self._is_label, self._is_numeric
        count = len(names)
        x: dict[str, Value] = {}
        given: dict[int, str] = {}
        entries = self._entries(body)
        for index, text_value in entries:
            place = int(index) if index.isdecimal() else -1
            if not 0 <= place < count:
                raise ValueError(f"{index!r} is not an index of {count} attributes, counted from 0")
            if is_label[place]:
                given[place] = text_value
            elif is_numeric[place]:
                try:
                    x[names[place]] = float(text_value)
                except ValueError:
                    x[names[place]] = self._value(place, text_value)
            else:
                x[names[place]] = self._value(place, text_value)
        if len(x) + len(given) != len(entries):
            raise ValueError(f"an index stands twice in {text[:60]!r}")
        return StreamRow(x, self._truth({**self._set_unless_given, **given}))

    @staticmethod
    def _entries(body: str) -> Sequence[Sequence[str]]:
        if not body:
            return ()
        if "'" in body or '"' in body:
            return split_entries(body)
        entries = [entry.split(None, 1) for entry in body.split(",")]
        for entry in entries:
            if len(entry) != 2:
                return split_entries(body)
        return entries

    def _truth(self, given: dict[int, str]) -> list[str] | dict[str, bool]:
        """Return the labels that are set; when one is missing (``?``), what is known of all others."""
        names = self._names
        if MISSING in given.values():
            return {
                names[place]: self._is_true(place, given.get(place, "0"))
                for place in self._label_places
                if given.get(place) != MISSING
            }
        return [names[place] for place in sorted(given) if self._is_true(place, given[place])]

    def _value(self, place: int, text: str) -> Value:
        if text == MISSING:
            return None
        if not self._is_numeric[place]:
            return self._nominal(place, text)
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number, for attribute {self._names[place]!r}") from None

    def _nominal(self, place: int, text: str) -> str:
        values = self._attributes[place].values
        if values is None or text not in values:
            raise ValueError(f"{text!r} is not a value of attribute {self._names[place]!r}")
        return text

    def _is_true(self, place: int, text: str) -> bool:
        lowered = text.strip().lower()
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        raise ValueError(f"{text!r} is neither 0 nor 1, for label {self._names[place]!r}")
