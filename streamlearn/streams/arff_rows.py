"""Converts a data line of an ARFF file to an instance and its truth."""

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
    """A declared attribute; ``values`` are those of a nominal attribute, else None."""

    name: str
    values: tuple[str, ...] | None


class RowReader:
    """Reads rows of declared attributes, dense and sparse.

    Parameters
    ----------
    attributes:
        The attributes in the order of the header.
    label_indices:
        Indices of those that are labels, ascending.
    """

    def __init__(self, attributes: Sequence[Attribute], label_indices: Sequence[int]) -> None:
        self._attributes = attributes
        self._names = [attribute.name for attribute in attributes]
        self._label_indices = list(label_indices)
        self._is_label = [False] * len(attributes)
        for index in label_indices:
            self._is_label[index] = True
        self._feature_indices = [index for index, is_label in enumerate(self._is_label) if not is_label]
        self._label_names = [self._names[index] for index in label_indices]
        self._is_numeric = [
            attribute.values is None and not is_label
            for attribute, is_label in zip(attributes, self._is_label, strict=True)
        ]
        # A sparse row that leaves out a label {1,0} sets it: the label has its first value.
        self._true_by_default = {
            index: values[0]
            for index in label_indices
            if (values := attributes[index].values) and values[0].lower() in _TRUE
        }

    def read(self, text: str) -> StreamRow:
        """Return the row of a line.

        Raises
        ------
        ValueError
            When the line does not match the header; the message names the attribute and the offending text.
        """
        if text.startswith("{"):
            return self._read_sparse(text)
        fields = split_fields(text)
        if len(fields) != len(self._attributes):
            raise ValueError(f"{len(fields)} values for {len(self._attributes)} attributes")
        return StreamRow(self._read_dense_features(fields), self._read_dense_truth(fields))

    def _read_dense_features(self, fields: list[str]) -> list[Value]:
        try:
            return [
                float(fields[index]) if self._is_numeric[index] else self._parse_nominal(index, fields[index])
                for index in self._feature_indices
            ]
        except ValueError:
            # A missing value, or an error that `_parse_value` explains.
            return [self._parse_value(index, fields[index]) for index in self._feature_indices]

    def _read_dense_truth(self, fields: list[str]) -> list[str] | dict[str, bool]:
        texts = [fields[index] for index in self._label_indices]
        if _ZEROS_AND_ONES.issuperset(texts):
            return [name for name, text in zip(self._label_names, texts, strict=True) if text == "1"]
        return self._parse_truth(dict(zip(self._label_indices, texts, strict=True)))

    def _read_sparse(self, text: str) -> StreamRow:
        if not text.endswith("}"):
            raise ValueError("a sparse row is not closed by a brace")
        body = text[1:-1].strip()
        names, is_label, is_numeric = self._names, self._is_label, self._is_numeric
        count = len(names)
        x: dict[str, Value] = {}
        label_texts: dict[int, str] = {}
        entries = self._split_entries(body)
        for index_text, value_text in entries:
            index = int(index_text) if index_text.isdecimal() else -1
            if not 0 <= index < count:
                raise ValueError(f"{index_text!r} is not an index of {count} attributes, counted from 0")
            if is_label[index]:
                label_texts[index] = value_text
            elif is_numeric[index]:
                try:
                    x[names[index]] = float(value_text)
                except ValueError:
                    x[names[index]] = self._parse_value(index, value_text)
            else:
                x[names[index]] = self._parse_value(index, value_text)
        if len(x) + len(label_texts) != len(entries):
            raise ValueError(f"an index occurs twice in {text[:60]!r}")
        return StreamRow(x, self._parse_truth({**self._true_by_default, **label_texts}))

    @staticmethod
    def _split_entries(body: str) -> Sequence[Sequence[str]]:
        if not body:
            return ()
        if "'" in body or '"' in body:
            return split_entries(body)
        entries = [entry.split(None, 1) for entry in body.split(",")]
        for entry in entries:
            if len(entry) != 2:
                return split_entries(body)
        return entries

    def _parse_truth(self, texts: dict[int, str]) -> list[str] | dict[str, bool]:
        """Return the labels that are true; when a label is missing (``?``), the known values of all others."""
        names = self._names
        if MISSING in texts.values():
            return {
                names[index]: self._parse_label(index, texts.get(index, "0"))
                for index in self._label_indices
                if texts.get(index) != MISSING
            }
        return [names[index] for index in sorted(texts) if self._parse_label(index, texts[index])]

    def _parse_value(self, index: int, text: str) -> Value:
        if text == MISSING:
            return None
        if not self._is_numeric[index]:
            return self._parse_nominal(index, text)
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number, for attribute {self._names[index]!r}") from None

    def _parse_nominal(self, index: int, text: str) -> str:
        values = self._attributes[index].values
        if values is None or text not in values:
            raise ValueError(f"{text!r} is not a value of attribute {self._names[index]!r}")
        return text

    def _parse_label(self, index: int, text: str) -> bool:
        lowered = text.strip().lower()
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        raise ValueError(f"{text!r} is neither 0 nor 1, for label {self._names[index]!r}")
