"""Converts a data line of an ARFF file to an instance and its truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from streamlearn.streams.arff_header import Attribute, AttributeKind, read_weight
from streamlearn.streams.arff_text import Token, TokenKind, shorten, tokenize
from streamlearn.streams.base import StreamRow, Value

TRUE = ("1", "1.0", "true", "yes")
FALSE = ("0", "0.0", "false", "no")
MISSING = "?"

_ZEROS_AND_ONES = frozenset("01")
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)


class RowReader:
    """Reads rows of declared attributes, dense and sparse.

    An instance is a list of values in the order of the attributes or, when it is sparse or an attribute is a string, a
    dictionary by name.

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
            attribute.kind == AttributeKind.NUMERIC and not is_label
            for attribute, is_label in zip(attributes, self._is_label, strict=True)
        ]
        self._values = [frozenset(attribute.values) for attribute in attributes]
        kinds = {attributes[index].kind for index in self._feature_indices}
        self._has_strings = AttributeKind.STRING in kinds
        self._splits_at_commas = kinds <= {AttributeKind.NUMERIC, AttributeKind.NOMINAL} and all(
            attributes[index].kind == AttributeKind.NUMERIC or _ZEROS_AND_ONES.issubset(attributes[index].values)
            for index in label_indices
        )
        self._read_value: dict[AttributeKind, Callable[[int, str], Value]] = {
            AttributeKind.NUMERIC: self._read_number,
            AttributeKind.NOMINAL: self._read_nominal,
            AttributeKind.STRING: lambda _, text: text,
            AttributeKind.DATE: self._read_date,
        }
        # A sparse row that leaves out a label {1,0} sets it: the label has its first value.
        self._true_by_default = {
            index: values[0]
            for index in label_indices
            if (values := attributes[index].values) and values[0].lower() in TRUE
        }

    def read(self, text: str) -> StreamRow:
        """Return the row of a line without blanks around it.

        Raises
        ------
        ValueError
            When the line does not match the header; the message names the attribute and the offending text.
        """
        plain = not ("'" in text or '"' in text or "%" in text or "_" in text) and text.isascii()
        if text.startswith("{"):
            row = self._read_plain_sparse(text) if plain and self._splits_at_commas else None
            return row or self._read_sparse(text)
        row = self._read_plain_dense(text) if plain and self._splits_at_commas and "{" not in text else None
        return row or self._read_dense(tokenize(text))

    def _read_plain_dense(self, text: str) -> StreamRow | None:
        """Return the row of a line whose values stand between commas; None for a line that needs a closer look."""
        fields = text.split(",")
        if len(fields) != len(self._attributes):
            return None
        is_numeric, nominal = self._is_numeric, self._read_plain_nominal
        try:
            x = [
                float(fields[index]) if is_numeric[index] else nominal(index, fields[index].strip())
                for index in self._feature_indices
            ]
        except ValueError:
            return None
        truths = [fields[index].strip() for index in self._label_indices]
        if not _ZEROS_AND_ONES.issuperset(truths):
            return None
        return StreamRow(x, [name for name, truth in zip(self._label_names, truths, strict=True) if truth == "1"])

    def _read_plain_nominal(self, index: int, word: str) -> str:
        if word in ("", MISSING):
            raise ValueError
        return self._read_nominal(index, word)

    def _read_dense(self, tokens: list[Token]) -> StreamRow:
        end = next((position for position, token in enumerate(tokens) if token.is_brace()), len(tokens))
        values: list[Token] = []
        after_comma = True
        for token in tokens[:end]:
            if token.kind != TokenKind.MARK:
                values.append(token)
            elif after_comma:
                raise ValueError(f"value {len(values) + 1} is empty: write ? for a missing value, '' for an empty text")
            after_comma = token.kind == TokenKind.MARK
        if len(values) != len(self._attributes):
            raise ValueError(f"{len(values)} values for {len(self._attributes)} attributes")
        self._read_rest(tokens[end:])
        read = [(index, self._read_token(index, values[index])) for index in self._feature_indices]
        truth = self._read_truth(dict(zip(self._label_indices, (values[i] for i in self._label_indices), strict=True)))
        if self._has_strings:
            return StreamRow({self._names[index]: value for index, value in read if value is not None}, truth)
        return StreamRow([value for _, value in read], truth)

    @staticmethod
    def _read_rest(tokens: list[Token]) -> None:
        """Check what follows the values of a row: at most a weight of 1, and a comma."""
        if tokens and tokens[-1].is_mark(","):
            tokens = tokens[:-1]
        read_weight(tokens, "the row")

    def _read_plain_sparse(self, text: str) -> StreamRow | None:
        """Return the row of a line whose entries stand between commas; None for a line that needs a closer look."""
        if text.find("}") != len(text) - 1:
            return None
        names, is_label, is_numeric = self._names, self._is_label, self._is_numeric
        count = len(names)
        x: dict[str, Value] = {}
        labels: dict[int, str] = {}
        body = text[1:-1]
        entries = body.split(",") if body.strip() else []
        for entry in entries:
            pair = entry.split()
            if len(pair) != 2 or not pair[0].isdecimal() or (index := int(pair[0])) >= count:
                return None
            value = pair[1]
            if is_label[index]:
                if value not in _ZEROS_AND_ONES:
                    return None
                labels[index] = value
            elif is_numeric[index]:
                try:
                    x[names[index]] = float(value)
                except ValueError:
                    return None
            elif value in self._values[index] and value != MISSING:
                x[names[index]] = value
            else:
                return None
        if len(x) + len(labels) != len(entries):
            return None
        truths = {**self._true_by_default, **labels} if self._true_by_default else labels
        return StreamRow(x, [names[index] for index in sorted(truths) if truths[index] not in FALSE])

    def _read_sparse(self, text: str) -> StreamRow:
        tokens = tokenize(text)
        end = next((position for position, token in enumerate(tokens) if token.is_mark("}")), None)
        if end is None:
            raise ValueError("a sparse row is not closed by a brace")
        rest = tokens[end + 1 :]
        self._read_rest(rest[1:] if rest and rest[0].is_mark(",") and len(rest) > 1 else rest)
        x: dict[str, Value] = {}
        labels: dict[int, Token] = {}
        seen: set[int] = set()
        for index_text, token in self._pairs(tokens[1:end], text):
            index = int(index_text) if index_text.isascii() and index_text.isdecimal() else -1
            if not 0 <= index < len(self._names):
                raise ValueError(f"{index_text!r} is not an index of {len(self._names)} attributes, counted from 0")
            if index in seen:
                raise ValueError(f"an index occurs twice in {shorten(text)}")
            seen.add(index)
            if self._is_label[index]:
                labels[index] = token
            else:
                x[self._names[index]] = self._read_token(index, token)
        defaults = {index: Token(TokenKind.WORD, value) for index, value in self._true_by_default.items()}
        return StreamRow(x, self._read_truth({**defaults, **labels}))

    @staticmethod
    def _pairs(tokens: list[Token], text: str) -> list[tuple[str, Token]]:
        """Return the entries of a sparse row: an index and a value, between commas or blanks."""
        pairs = []
        position = 0
        while position < len(tokens):
            index, *others = tokens[position : position + 2]
            if index.kind != TokenKind.WORD or not others or others[0].kind == TokenKind.MARK:
                entry = " ".join(token.text for token in tokens[position : position + 2])
                raise ValueError(f"{shorten(entry)} is not an index and a value, in {shorten(text)}")
            pairs.append((index.text, others[0]))
            position += 2
            if position < len(tokens) and tokens[position].is_mark(","):
                position += 1
        return pairs

    def _read_truth(self, texts: dict[int, Token]) -> list[str] | dict[str, bool]:
        """Return the labels that are true; when a label is missing (``?``), the known values of all others."""
        names = self._names
        truths = {index: self._read_label(index, token) for index, token in texts.items()}
        if None in truths.values():
            all_truths = {index: truths.get(index, False) for index in self._label_indices}
            return {names[index]: truth for index, truth in all_truths.items() if truth is not None}
        return [names[index] for index in sorted(truths) if truths[index]]

    def _read_label(self, index: int, token: Token) -> bool | None:
        if _is_missing(token):
            return None
        lowered = token.text.lower()
        if lowered not in TRUE and lowered not in FALSE:
            raise ValueError(f"{token.text!r} is neither 0 nor 1, for label {self._names[index]!r}")
        if self._attributes[index].kind == AttributeKind.NOMINAL:
            self._read_nominal(index, token.text)
        return lowered in TRUE

    def _read_token(self, index: int, token: Token) -> Value:
        if _is_missing(token):
            return None
        return self._read_value[self._attributes[index].kind](index, token.text)

    def _read_number(self, index: int, text: str) -> float:
        if _NUMBER.fullmatch(text) is None:
            raise ValueError(f"{text!r} is not a number, for attribute {self._names[index]!r}")
        return float(text)

    def _read_nominal(self, index: int, text: str) -> str:
        if text not in self._values[index]:
            raise ValueError(f"{text!r} is not a value of attribute {self._names[index]!r}")
        return text

    def _read_date(self, index: int, text: str) -> float:
        date = self._attributes[index].date
        assert date is not None
        try:
            return date.parse(text)
        except ValueError as error:
            raise ValueError(f"{error}, for attribute {self._names[index]!r}") from None


def _is_missing(token: Token) -> bool:
    return token.kind == TokenKind.WORD and token.text == MISSING
