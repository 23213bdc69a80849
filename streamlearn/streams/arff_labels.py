"""Finds which attributes of an ARFF file are labels: from an option, an XML file, or the relation's name."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streamlearn.errors import UsageError
from streamlearn.streams.arff_header import Attribute, AttributeKind, Header
from streamlearn.streams.arff_rows import FALSE, MISSING, TRUE
from streamlearn.streams.arff_text import shorten, unescape

_COUNT = re.compile(r"[+-]?\d+", re.ASCII)
_MEKA_LABELS = re.compile(r"-C\s+([+-]?\d+)(?![\d.])", re.ASCII)
_FILTER = re.compile(r"weka\.filters\.[\w.]+")
_FILTER_OF_ROWS = re.compile(r"weka\.filters\.(un)?supervised\.instance\.\w+")
_PART_OF_A_SPLIT = re.compile(r"[-_.](train|test)\d*$", re.IGNORECASE)
_FIELD = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|((?!['"])[^,]*?))\s*(?:,|$)""", re.DOTALL)


class LabelChoice(NamedTuple):
    """The indices of the labels, ascending, and where the choice comes from."""

    indices: list[int]
    origin: str


def choose_labels(path: Path, stem: str, header: Header, option: str | None) -> LabelChoice:
    """Return which attributes are labels.

    Parameters
    ----------
    path, stem:
        The ARFF file, and its name without endings.
    option:
        A count (negative: the last ones), names separated by commas, or the path of an XML file; None for the XML file
        beside the ARFF file, of the same name or without ``-train`` or ``-test`` at its end, else ``-C`` in the
        relation's name.

    Raises
    ------
    UsageError
        When there is no such choice, or an attribute is not a label.
    """
    attributes = header.attributes
    if option is not None:
        choice = _from_option(path, attributes, option.strip())
    elif (xml := _xml_beside(path, stem)) is not None:
        choice = LabelChoice(_find(path, attributes, _read_xml(xml), str(xml)), str(xml))
    else:
        choice = _from_relation(path, stem, header)
    for index in choice.indices:
        if (fault := _not_a_label(attributes[index])) is not None:
            raise UsageError(
                f"{path}: attribute {attributes[index].name!r} is a label by {choice.origin}, but {fault}: correct the "
                "choice with --labels"
            )
    return choice


def _from_option(path: Path, attributes: Sequence[Attribute], option: str) -> LabelChoice:
    origin = f"--labels {option}"
    if _COUNT.fullmatch(option):
        return LabelChoice(_count(path, len(attributes), int(option), origin), origin)
    if option.lower().endswith(".xml"):
        return LabelChoice(_find(path, attributes, _read_xml(Path(option)), option), origin)
    return LabelChoice(_find(path, attributes, _split_names(option), "--labels"), "--labels")


def _from_relation(path: Path, stem: str, header: Header) -> LabelChoice:
    """Return the choice of MEKA's option ``-C``, if no filter has changed the attributes since it was written."""
    ask = "give --labels a count (negative: the last ones), names, or an XML file"
    # Filters append their names and options, which may hold another -C.
    options = _FILTER.split(header.relation, maxsplit=1)[0]
    found = _MEKA_LABELS.search(options)
    if found is None:
        raise UsageError(
            f"{path}: which attributes are labels? There is no {stem}.xml in its folder and no -C in the relation's "
            f"name: {ask}"
        )
    filters = _FILTER.findall(header.relation)
    changed = [name for name in filters if _FILTER_OF_ROWS.fullmatch(name) is None]
    if changed:
        raise UsageError(
            f"{path}: the relation's name says -C {found[1]}, but the WEKA filter {changed[0]} has been applied since, "
            f"and may have moved the labels: {ask}"
        )
    origin = f"-C {found[1]} in the relation's name"
    return LabelChoice(_count(path, len(header.attributes), int(found[1]), origin), origin)


def _count(path: Path, attributes: int, number: int, origin: str) -> list[int]:
    if number == 0 or abs(number) > attributes:
        raise UsageError(
            f"{path}: {number} labels of {attributes} attributes, by {origin}: give --labels a number from 1 to "
            f"{attributes}, or its negative"
        )
    return list(range(number)) if number > 0 else list(range(attributes + number, attributes))


def _find(path: Path, attributes: Sequence[Attribute], names: Sequence[str], origin: str) -> list[int]:
    index_of = {attribute.name: index for index, attribute in enumerate(attributes)}
    missing = [name for name in names if name not in index_of]
    if missing:
        raise UsageError(f"{origin}: label {missing[0]!r} is not an attribute of {path}")
    return sorted({index_of[name] for name in names})


def _not_a_label(attribute: Attribute) -> str | None:
    """Return why an attribute cannot be a label."""
    if attribute.kind in (AttributeKind.STRING, AttributeKind.DATE):
        return f"its kind is {attribute.kind.name.lower()}"
    others = [value for value in attribute.values if value.lower() not in (*TRUE, *FALSE, MISSING)]
    return f"{others[0]!r} of its values is neither 0 nor 1" if others else None


def _split_names(text: str) -> list[str]:
    names = []
    position = 0
    while True:
        match = _FIELD.match(text, position)
        if match is None:
            raise UsageError(f"--labels: a quote is not closed, or text follows it, in {shorten(text[position:])}")
        quoted = match[1] if match[1] is not None else match[2]
        names.append(unescape(quoted) if quoted is not None else match[3])
        position = match.end()
        if not match[0].rstrip().endswith(","):
            return names


def _xml_beside(path: Path, stem: str) -> Path | None:
    """Return the XML file of an ARFF file: of the same name, else of the data set of which the file is a part."""
    for name in dict.fromkeys([stem, _PART_OF_A_SPLIT.sub("", stem)]):
        for ending in (".xml", ".XML"):
            candidate = path.with_name(name + ending)
            if candidate.exists():
                return candidate
    return None


def _read_xml(path: Path) -> list[str]:
    """Return the label names of a MULAN XML file, including those of a hierarchy.

    Raises
    ------
    UsageError
        When it cannot be read or has no label.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: its encoding
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
