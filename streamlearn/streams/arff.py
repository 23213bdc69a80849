"""Reads multi-label ARFF files as WEKA, MULAN, MEKA and MOA write them, row by row.

A file may mix dense and sparse rows; values stand between commas or blanks, and a comma may end a row. Names and values
may be quoted with ' or " and escaped with a backslash; the XML file that goes with it has the names without quotes and
escapes. A nominal value is a text, ``?`` without quotes is missing, a string is a text, a date is a number
(`streamlearn.streams.arff_dates`). What a sparse row leaves out is 0, or a nominal attribute's first value: a label
takes it, a feature is absent from the instance. A line that is not UTF-8 is read as Latin-1, as older tools wrote it.

What cannot be read is refused, with its line; this includes weights other than 1, relational attributes, and rows that
WEKA reads in a way that loses data: a row with too many values, an empty value between two commas, a quote that is not
closed or stands inside a word.

Source: the formats of Tsoumakas et al., *MULAN: A Java Library for Multi-Label Learning* (Journal of Machine Learning
Research 12, 2011), and of Read et al., *MEKA: A Multi-label/Multi-target Extension to WEKA* (same journal 17, 2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from streamlearn.errors import UsageError
from streamlearn.streams.arff_header import AttributeKind, Header, HeaderError, read_header
from streamlearn.streams.arff_labels import choose_labels
from streamlearn.streams.arff_rows import RowReader
from streamlearn.streams.arff_text import Lines
from streamlearn.streams.base import StreamRow
from streamlearn.streams.compression import UNREADABLE, open_bytes, remove_ending
from streamlearn.streams.file_kinds import damaged_file, wrong_content

NAMES_SHOWN = 5


class ArffStream:
    """An ARFF file with its label space.

    Parameters
    ----------
    path:
        ``.arff``, or compressed.
    labels:
        Which attributes are labels: a count (negative: the last ones), names separated by commas, or the path of an XML
        file. By default the XML file of the same name in the same folder, where ``-train`` or ``-test`` may be left
        out, else ``-C`` in the relation's name.

    Attributes
    ----------
    attributes:
        The declared attributes, labels too.

    Raises
    ------
    UsageError
        When the file cannot be read, with its line, or has no labels.
    """

    dropped: Mapping[str, int] = MappingProxyType({})

    def __init__(self, path: Path, labels: str | None = None) -> None:
        self._path = path
        name = remove_ending(path.name)
        self.name = name[: -len(".arff")] if name.lower().endswith(".arff") else name
        self._header = self._read_header()
        attributes = self.attributes = self._header.attributes
        self._label_indices, self.labels_from = choose_labels(path, self.name, self._header, labels)
        is_label = set(self._label_indices)
        features = [attribute for index, attribute in enumerate(attributes) if index not in is_label]
        self.features: Sequence[str] = [attribute.name for attribute in features]
        self.texts: Sequence[str] = [each.name for each in features if each.kind == AttributeKind.STRING]
        self.labels: Sequence[str] = [attributes[index].name for index in self._label_indices]
        self.source = str(path)
        self.warnings = self._find_warnings()
        self.columns = sum(1 + len(attribute.values) for attribute in features)

    def _find_warnings(self) -> list[str]:
        """Return what may be a mistake of the choice of labels."""
        chosen = (self.attributes[index] for index in self._label_indices)
        numeric = [repr(attribute.name) for attribute in chosen if attribute.kind == AttributeKind.NUMERIC]
        if not numeric:
            return []
        names = ", ".join(numeric[:NAMES_SHOWN]) + (", ..." if len(numeric) > NAMES_SHOWN else "")
        return [
            f"{self.source}: {len(numeric)} of {len(self._label_indices)} labels by {self.labels_from} are declared as "
            f"numbers, and not as {{0,1}}: {names}; if these are features, correct the choice with --labels"
        ]

    def _read_header(self) -> Header:
        with open_bytes(self._path) as file:
            lines = Lines(file)
            try:
                return read_header(lines)
            except HeaderError as error:
                raise wrong_content(str(self._path), error.line, error, is_start=error.is_start) from None
            except UNREADABLE as error:
                raise damaged_file(str(self._path), error, lines.number) from None
            except ValueError as error:
                raise self._error_at(lines.number, error) from None

    def __iter__(self) -> Iterator[StreamRow]:
        reader = RowReader(self._header.attributes, self._label_indices)
        data_line = self._header.line
        with open_bytes(self._path) as file:
            lines = Lines(file)
            try:
                for text in lines:
                    if lines.number <= data_line:
                        if lines.number < data_line:
                            continue
                        text = self._header.rest
                    if text and not text.startswith("%"):
                        yield reader.read(text)
            except UNREADABLE as error:
                raise damaged_file(str(self._path), error, lines.number) from None
            except ValueError as error:
                raise self._error_at(lines.number, error) from None

    def _error_at(self, line: int, error: Exception) -> UsageError:
        return wrong_content(str(self._path), line, error, is_start=False)
