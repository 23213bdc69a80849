"""Reads multi-label ARFF files as MULAN and MEKA write them, row by row.

A file may mix dense and sparse rows. Names and values may be quoted with ' or " and escaped with a backslash; the XML
file that goes with it has the names without quotes and escapes. A nominal value is a text, ``?`` is missing. What a
sparse row leaves out is 0, or a nominal attribute's first value: a label takes it, a feature is absent from the
instance. A line that is not UTF-8 is read as Latin-1, as older tools wrote it.

Source: the formats of Tsoumakas et al., *MULAN: A Java Library for Multi-Label Learning* (Journal of Machine Learning
Research 12, 2011), and of Read et al., *MEKA: A Multi-label/Multi-target Extension to WEKA* (same journal 17, 2016).
"""

from __future__ import annotations

import gzip
import re
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from streamlearn.errors import UsageError
from streamlearn.streams.arff_rows import Attribute, RowReader
from streamlearn.streams.arff_text import decode_line, split_fields, split_name
from streamlearn.streams.base import StreamRow

_MEKA_LABELS = re.compile(r"-C\s+(-?\d+)")
_NUMERIC = re.compile(r"(numeric|real|integer)\b", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UNREADABLE = (ValueError, OSError, EOFError, zlib.error)


class _Header(NamedTuple):
    relation: str
    attributes: list[Attribute]
    lines: int


class ArffStream:
    """An ARFF file with its label space.

    Parameters
    ----------
    path:
        ``.arff`` or ``.arff.gz``.
    labels:
        Which attributes are labels: a count (negative: the last ones), names separated by commas, or the path of an XML
        file. By default the XML file of the same name in the same folder, else ``-C`` in the relation's name.

    Raises
    ------
    UsageError
        When the file cannot be read, with its line, or has no labels.
    """

    def __init__(self, path: Path, labels: str | None = None) -> None:
        self._path = path
        self.name = path.name.removesuffix(".gz").removesuffix(".arff")
        self._header = self._read_header()
        attributes = self._header.attributes
        self._label_indices = self._find_labels(labels)
        is_label = set(self._label_indices)
        features = [attribute for index, attribute in enumerate(attributes) if index not in is_label]
        self.features: Sequence[str] = [attribute.name for attribute in features]
        self.labels: Sequence[str] = [attributes[index].name for index in self._label_indices]
        self.columns = sum(1 + len(attribute.values or ()) for attribute in features)

    def _open(self) -> BinaryIO:
        try:
            if self._path.name.endswith(".gz"):
                return cast(BinaryIO, gzip.open(self._path, "rb"))
            return self._path.open("rb")
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from None

    def _error_at(self, line: int, error: Exception) -> UsageError:
        return UsageError(f"{self._path}, line {line}: {error}")

    def _read_header(self) -> _Header:
        relation = ""
        attributes: list[Attribute] = []
        line_of: dict[str, int] = {}
        number = 0
        with self._open() as file:
            try:
                for number, line in enumerate(file, 1):
                    text = decode_line(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)
                    if not text or text.startswith("%"):
                        continue
                    keyword, rest = (*text.split(None, 1), "")[:2]
                    keyword = keyword.lower()
                    if keyword == "@relation":
                        relation = rest
                    elif keyword == "@attribute":
                        attribute = _parse_attribute(rest)
                        if attribute.name in line_of:
                            raise ValueError(
                                f"attribute {attribute.name!r} is already declared in line {line_of[attribute.name]}"
                            )
                        line_of[attribute.name] = number
                        attributes.append(attribute)
                    elif keyword == "@data":
                        return _Header(relation, attributes, number)
                    else:
                        raise ValueError(f"{text[:60]!r} comes before @data but is no declaration")
            except _UNREADABLE as error:
                raise self._error_at(number, error) from None
        raise self._error_at(number, ValueError("the file ends without @data"))

    def _find_labels(self, labels: str | None) -> list[int]:
        count = len(self._header.attributes)
        if labels is None:
            xml = self._path.with_name(self.name + ".xml")
            if xml.exists():
                return self._find_attributes(_read_xml_labels(xml), str(xml))
            meka = _MEKA_LABELS.search(self._header.relation)
            if meka is None:
                raise UsageError(
                    f"{self._path}: which attributes are labels? There is no {xml.name} in its folder and no -C in "
                    "the relation's name: give --labels a count (negative: the last ones), names, or an XML file"
                )
            labels = str(meka[1])
        labels = labels.strip()
        if re.fullmatch(r"[+-]?\d+", labels):
            number = int(labels)
            if number == 0 or abs(number) > count:
                raise UsageError(
                    f"{self._path}: {number} labels of {count} attributes: give --labels a number from 1 to {count}, "
                    "or its negative"
                )
            return list(range(number)) if number > 0 else list(range(count + number, count))
        if labels.endswith(".xml"):
            return self._find_attributes(_read_xml_labels(Path(labels)), labels)
        try:
            return self._find_attributes(split_fields(labels), "--labels")
        except ValueError as error:
            raise UsageError(f"--labels: {error}") from None

    def _find_attributes(self, names: Sequence[str], origin: str) -> list[int]:
        """Return the indices of attributes, ascending."""
        index_of = {attribute.name: index for index, attribute in enumerate(self._header.attributes)}
        missing = [name for name in names if name not in index_of]
        if missing:
            raise UsageError(f"{origin}: label {missing[0]!r} is not an attribute of {self._path}")
        return sorted({index_of[name] for name in names})

    def __iter__(self) -> Iterator[StreamRow]:
        reader = RowReader(self._header.attributes, self._label_indices)
        number = 0
        with self._open() as file:
            try:
                for number, line in enumerate(file, 1):
                    if number > self._header.lines and (text := decode_line(line)) and not text.startswith("%"):
                        yield reader.read(text)
            except _UNREADABLE as error:
                raise self._error_at(number, error) from None


def _parse_attribute(text: str) -> Attribute:
    name, kind = split_name(text)
    kind = kind.strip()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            raise ValueError(f"the values of attribute {name!r} are not closed by a brace")
        return Attribute(name, tuple(split_fields(kind[1:-1])))
    if _NUMERIC.match(kind):
        return Attribute(name, None)
    raise ValueError(f"attribute {name!r} is of kind {kind[:60]!r}; only numeric and nominal ones can be read")


def _read_xml_labels(path: Path) -> list[str]:
    """Return the label names of a MULAN XML file, including those of a hierarchy.

    Raises
    ------
    UsageError
        When it cannot be read or has no label.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (
        ElementTree.ParseError,
        LookupError,
        ValueError,
    ) as error:  # the last two: its encoding
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    names = [
        name
        for element in root.iter()
        if element.tag.rpartition("}")[2] == "label" and (name := element.get("name")) is not None
    ]
    if not names:
        raise UsageError(f"{path}: it has no label element with a name")
    return names
