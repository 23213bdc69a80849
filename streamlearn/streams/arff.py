"""Multi-label ARFF files as MULAN and MEKA write them, read row by row.

Dense and sparse rows may stand in one file. Names and values may be quoted with ' or " and escaped with a backslash,
and may be the same attribute in the XML file without the escapes. A nominal value is a text, ``?`` is missing; a value
that a sparse row leaves out is 0, or a nominal attribute's first value.
"""

from __future__ import annotations

import gzip
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from streamlearn.errors import UsageError
from streamlearn.streams.base import StreamRow

_TOKEN = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,{}'"]+))""")
_FIELD = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|((?!['"])[^,]*?))\s*(?:,|$)""")
_ESCAPE = re.compile(r"\\(.)")
_MEKA_LABELS = re.compile(r"-C\s+(-?\d+)")
_NUMERIC = ("numeric", "real", "integer")
_TRUE = ("1", "1.0", "true", "yes")
_FALSE = ("0", "0.0", "false", "no", "")


class Attribute(NamedTuple):
    """A declared attribute; ``values`` are those of a nominal one, else None."""

    name: str
    values: tuple[str, ...] | None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def _token(text: str) -> tuple[str, str]:
    """Return the first word of a declaration, unquoted, and the rest."""
    match = _TOKEN.match(text)
    if match is None:
        raise ValueError(f"no name in {text.strip()!r}")
    quoted = match[1] if match[1] is not None else match[2]
    return _unescaped(quoted if quoted is not None else match[3]), text[match.end() :]


def _fields(text: str) -> list[str]:
    """Return comma-separated values, unquoted."""
    if "'" not in text and '"' not in text:
        return [field.strip() for field in text.split(",")]
    fields = []
    position = 0
    while True:
        match = _FIELD.match(text, position)
        if match is None:
            raise ValueError(f"a quote is not closed in {text[position : position + 40]!r}")
        quoted = match[1] if match[1] is not None else match[2]
        fields.append(_unescaped(quoted) if quoted is not None else match[3])
        position = match.end()
        if not match[0].rstrip().endswith(","):
            return fields


class ArffStream:
    """An ARFF file with its label space.

    Parameters
    ----------
    path:
        ``.arff`` or ``.arff.gz``.
    labels:
        Which attributes are labels: a count (negative: the last ones), names separated by commas, or the path of an XML
        file. By default the XML file of the same name beside it, else ``-C`` in the relation's name.

    Raises
    ------
    UsageError
        When the file cannot be read, with its line, or has no labels.
    """

    def __init__(self, path: Path, labels: str | None = None) -> None:
        self._path = path
        self.name = path.name.removesuffix(".gz").removesuffix(".arff")
        self._relation, self._attributes, self._data_line = self._header()
        self._label_places = self._find_labels(labels)
        is_label = set(self._label_places)
        self._feature_places = [place for place in range(len(self._attributes)) if place not in is_label]
        self.features: Sequence[str] = [self._attributes[place].name for place in self._feature_places]
        self.labels: Sequence[str] = [self._attributes[place].name for place in self._label_places]

    def _open(self) -> TextIO:
        try:
            if self._path.name.endswith(".gz"):
                return gzip.open(self._path, "rt", encoding="utf-8", errors="replace")
            return self._path.open(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from None

    def _fault(self, line: int, what: str) -> UsageError:
        return UsageError(f"{self._path}, line {line}: {what}")

    def _header(self) -> tuple[str, list[Attribute], int]:
        relation = ""
        attributes: list[Attribute] = []
        with self._open() as file:
            number = 0
            try:
                for number, line in enumerate(file, 1):
                    text = line.strip()
                    if not text or text.startswith("%"):
                        continue
                    keyword, _, rest = text.partition(" ") if " " in text else text.partition("\t")
                    keyword = keyword.lower()
                    if keyword == "@relation":
                        relation = _token(rest)[0] if rest.strip() else ""
                    elif keyword == "@attribute":
                        attributes.append(self._attribute(rest))
                    elif keyword == "@data":
                        return relation, attributes, number
                    else:
                        raise ValueError(f"{text[:60]!r} stands before @data and is no declaration")
            except (ValueError, OSError, EOFError) as error:
                raise self._fault(number, str(error)) from None
        raise self._fault(number, "the file has no @data")

    @staticmethod
    def _attribute(text: str) -> Attribute:
        name, kind = _token(text.replace("\t", " "))
        kind = kind.strip()
        if kind.startswith("{"):
            if not kind.endswith("}"):
                raise ValueError(f"the values of attribute {name!r} are not closed by a brace")
            return Attribute(name, tuple(_fields(kind[1:-1])))
        if kind.lower().split(" ")[0] in _NUMERIC:
            return Attribute(name, None)
        raise ValueError(f"attribute {name!r} is of kind {kind!r}; numeric and nominal attributes can be read")

    def _find_labels(self, labels: str | None) -> list[int]:
        count = len(self._attributes)
        if labels is None:
            beside = self._path.with_name(self.name + ".xml")
            if beside.exists():
                return self._named(_xml_labels(beside), str(beside))
            meka = _MEKA_LABELS.search(self._relation)
            if meka is None:
                raise UsageError(
                    f"{self._path}: which attributes are labels? There is no {beside.name} beside it and no -C in the "
                    "relation's name: give --labels a count (negative: the last ones), names, or an XML file"
                )
            labels = str(meka[1])
        if re.fullmatch(r"[+-]?\d+", labels.strip()):
            number = int(labels)
            if number == 0 or abs(number) > count:
                raise UsageError(f"{self._path}: {number} labels of {count} attributes")
            return list(range(number)) if number > 0 else list(range(count + number, count))
        if labels.endswith(".xml") and Path(labels).exists():
            return self._named(_xml_labels(Path(labels)), labels)
        return self._named(_fields(labels), "--labels")

    def _named(self, names: Sequence[str], origin: str) -> list[int]:
        place_of = {attribute.name: place for place, attribute in enumerate(self._attributes)}
        missing = [name for name in names if name not in place_of]
        if missing:
            raise UsageError(f"{origin}: label {missing[0]!r} is not an attribute of {self._path}")
        return sorted(place_of[name] for name in names)

    def __iter__(self) -> Iterator[StreamRow]:
        attributes = self._attributes
        count = len(attributes)
        number = self._data_line
        with self._open() as file:
            try:
                for _ in range(self._data_line):
                    next(file)
                for line in file:
                    number += 1
                    text = line.strip()
                    if not text or text.startswith("%"):
                        continue
                    if text.startswith("{"):
                        yield self._sparse(text)
                    else:
                        fields = _fields(text)
                        if len(fields) != count:
                            raise ValueError(f"{len(fields)} values for {count} attributes")
                        yield self._dense(fields)
            except (ValueError, OSError, EOFError) as error:
                raise self._fault(number, str(error)) from None

    def _dense(self, fields: list[str]) -> StreamRow:
        x = [self._value(place, fields[place]) for place in self._feature_places]
        return StreamRow(x, self._truth(dict(enumerate(fields))))

    def _sparse(self, text: str) -> StreamRow:
        if not text.endswith("}"):
            raise ValueError("a sparse row is not closed by a brace")
        given: dict[int, str] = {}
        body = text[1:-1].strip()
        count = len(self._attributes)
        for entry in _split_entries(body):
            index, space, value = entry.strip().partition(" ")
            if not space or not index.isdigit():
                raise ValueError(f"{entry!r} is not an index and a value")
            place = int(index)
            if place >= count:
                raise ValueError(f"index {place} of {count} attributes")
            value = value.strip()
            given[place] = _fields(value)[0] if value[:1] in "'\"" else value
        labels = set(self._label_places)
        x = {
            self._attributes[place].name: self._value(place, value)
            for place, value in given.items()
            if place not in labels
        }
        return StreamRow(x, self._truth(given))

    def _truth(self, given: dict[int, str]) -> list[str] | dict[str, bool]:
        """Return the labels that are set; when one is missing (``?``), what is known of the others."""
        attributes = self._attributes
        if any(given.get(place) == "?" for place in self._label_places):
            return {
                attributes[place].name: self._is_true(place, given.get(place, "0"))
                for place in self._label_places
                if given.get(place) != "?"
            }
        return [
            attributes[place].name
            for place in self._label_places
            if place in given and self._is_true(place, given[place])
        ]

    def _value(self, place: int, text: str) -> float | str | None:
        if text == "?":
            return None
        values = self._attributes[place].values
        if values is not None:
            if text not in values:
                raise ValueError(f"{text!r} is not a value of attribute {self._attributes[place].name!r}")
            return text
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a number, for attribute {self._attributes[place].name!r}") from None

    def _is_true(self, place: int, text: str) -> bool:
        lowered = text.lower()
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        raise ValueError(f"{text!r} is neither 0 nor 1, for label {self._attributes[place].name!r}")


def _split_entries(body: str) -> list[str]:
    """Return the entries of a sparse row; commas within quotes do not separate."""
    if not body:
        return []
    if "'" not in body and '"' not in body:
        return body.split(",")
    return re.findall(r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,'"])+""", body)


def _xml_labels(path: Path) -> list[str]:
    """Return the label names of a MULAN XML file, those of a hierarchy too.

    Raises
    ------
    UsageError
        When it cannot be read or names no label.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise UsageError(f"{path}: {error}") from None
    names = [
        name
        for element in root.iter()
        if element.tag.rpartition("}")[2] == "label" and (name := element.get("name")) is not None
    ]
    if not names:
        raise UsageError(f"{path}: names no label")
    return names
