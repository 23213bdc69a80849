"""Multi-label ARFF files as MULAN and MEKA write them, read row by row.

Dense and sparse rows may stand in one file. Names and values may be quoted with ' or " and escaped with a backslash; an
XML file beside it has the names without quotes and escapes. A nominal value is a text, ``?`` is missing. What a sparse
row leaves out is 0 or a nominal attribute's first value: a label takes it, a feature is absent from the instance.
A line that is not UTF-8 is read as Latin-1, as older tools wrote it.

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
from streamlearn.streams.arff_text import decoded, first_word, split_fields
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
        file. By default the XML file of the same name beside it, else ``-C`` in the relation's name.

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
        self._label_places = self._find_labels(labels)
        is_label = set(self._label_places)
        features = [attribute for place, attribute in enumerate(attributes) if place not in is_label]
        self.features: Sequence[str] = [attribute.name for attribute in features]
        self.labels: Sequence[str] = [attributes[place].name for place in self._label_places]
        self.columns = sum(1 + len(attribute.values or ()) for attribute in features)

    def _open(self) -> BinaryIO:
        try:
            if self._path.name.endswith(".gz"):
                return cast(BinaryIO, gzip.open(self._path, "rb"))
            return self._path.open("rb")
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from None

    def _fault(self, line: int, error: Exception) -> UsageError:
        return UsageError(f"{self._path}, line {line}: {error}")

    def _read_header(self) -> _Header:
        relation = ""
        attributes: list[Attribute] = []
        line_of: dict[str, int] = {}
        number = 0
        with self._open() as file:
            try:
                for number, line in enumerate(file, 1):
                    text = decoded(line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)
                    if not text or text.startswith("%"):
                        continue
                    keyword, rest = (*text.split(None, 1), "")[:2]
                    keyword = keyword.lower()
                    if keyword == "@relation":
                        relation = rest
                    elif keyword == "@attribute":
                        attribute = _attribute(rest)
                        if attribute.name in line_of:
                            raise ValueError(
                                f"attribute {attribute.name!r} is declared in line {line_of[attribute.name]} already"
                            )
                        line_of[attribute.name] = number
                        attributes.append(attribute)
                    elif keyword == "@data":
                        return _Header(relation, attributes, number)
                    else:
                        raise ValueError(f"{text[:60]!r} stands before @data and is no declaration")
            except _UNREADABLE as error:
                raise self._fault(number, error) from None
        raise self._fault(number, ValueError("the file ends without @data"))

    def _find_labels(self, labels: str | None) -> list[int]:
        count = len(self._header.attributes)
        if labels is None:
            beside = self._path.with_name(self.name + ".xml")
            if beside.exists():
                return self._named(_xml_labels(beside), str(beside))
            meka = _MEKA_LABELS.search(self._header.relation)
            if meka is None:
                raise UsageError(
                    f"{self._path}: which attributes are labels? There is no {beside.name} beside it and no -C in the "
                    "relation's name: give --labels a count (negative: the last ones), names, or an XML file"
                )
            labels = str(meka[1])
        labels = labels.strip()
        if re.fullmatch(r"[+-]?\d+", labels):
            number = int(labels)
            if number == 0 or abs(number) > count:
                raise UsageError(f"{self._path}: {number} labels of {count} attributes")
            return list(range(number)) if number > 0 else list(range(count + number, count))
        if labels.endswith(".xml"):
            return self._named(_xml_labels(Path(labels)), labels)
        try:
            return self._named(split_fields(labels), "--labels")
        except ValueError as error:
            raise UsageError(f"--labels: {error}") from None

    def _named(self, names: Sequence[str], origin: str) -> list[int]:
        place_of = {attribute.name: place for place, attribute in enumerate(self._header.attributes)}
        missing = [name for name in names if name not in place_of]
        if missing:
            raise UsageError(f"{origin}: label {missing[0]!r} is not an attribute of {self._path}")
        return sorted({place_of[name] for name in names})

    def __iter__(self) -> Iterator[StreamRow]:
        reader = RowReader(self._header.attributes, self._label_places)
        number = 0
        with self._open() as file:
            try:
                for number, line in enumerate(file, 1):
                    if number > self._header.lines and (text := decoded(line)) and not text.startswith("%"):
                        yield reader.read(text)
            except _UNREADABLE as error:
                raise self._fault(number, error) from None


def _attribute(text: str) -> Attribute:
    name, kind = first_word(text)
    kind = kind.strip()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            raise ValueError(f"the values of attribute {name!r} are not closed by a brace")
        return Attribute(name, tuple(split_fields(kind[1:-1])))
    if _NUMERIC.match(kind):
        return Attribute(name, None)
    raise ValueError(f"attribute {name!r} is of kind {kind[:60]!r}; numeric and nominal attributes can be read")


def _xml_labels(path: Path) -> list[str]:
    """Return the label names of a MULAN XML file, those of a hierarchy too.

    Raises
    ------
    UsageError
        When it cannot be read or names no label.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # an encoding that nobody has, or not for XML
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    names = [
        name
        for element in root.iter()
        if element.tag.rpartition("}")[2] == "label" and (name := element.get("name")) is not None
    ]
    if not names:
        raise UsageError(f"{path}: names no label")
    return names
