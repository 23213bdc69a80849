"""WEKA's own reader and ours read the same of a generated corpus of ARFF files, or ours refuses with the reason.

Both read every file. Where only one of them can read it, the error must be one of the differences that
docs/compare.md lists.
"""

from __future__ import annotations

import math
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams.arff import ArffStream
from streamlearn.streams.arff_header import Attribute, AttributeKind
from streamlearn.streams.base import StreamRow
from tests.environment import is_required
from tests.integration.weka.corpus import corpus

FOLDER = Path(__file__).parent / "weka"
SEED = 20_261_130

REFUSED = {
    "weights are not used": "a weight of a row or an attribute",
    "weight '.*' of .* is not a number": "a weight in quotes, or in the form of Java",
    r"\d+ values for \d+ attributes": "WEKA drops what is too much, and continues with the rest as another row",
    "is empty: write": "two commas with nothing between them, which WEKA takes for one",
    "has an empty value": "the same among nominal values",
    "is not an index and a value": "commas inside or doubled between entries of a sparse row",
    "a quote is not closed": "WEKA takes the rest of the line, or the next one behind a backslash",
    "no name in": "the same for a name",
    "a quote is inside": "WEKA splits the word",
    "text follows": "WEKA splits behind the quote",
    "follows the (row|declaration|name)": "WEKA ignores text behind the end, up to the next token or line",
    "by commas and by blanks": "nominal values separated in two ways",
    "is not a number": "numbers of Java, such as 1f and 0x1",
    "is not a date": "dates with text behind them",
    "write the date format .* in quotes": "WEKA ignores the rest of a format without quotes",
    "is not an index of": "an index such as +1",
    "a comma is inside the name": "WEKA separates at the comma",
    "is a label by": "the first attribute is no label after the damage",
    "is neither 0 nor 1": "a label has another value",
    "is of kind": "a kind in quotes, and relational attributes",
    "comes before @data but is no declaration": "a keyword in quotes or with a comma behind it",
}
"""Refusals of files that WEKA reads, and why they are refused."""

READ = {
    "end of enumeration": "nominal values over several lines",
    "@relation expected": "a file without a relation",
    "end of line expected": "a relation's name with a blank",
    "no valid attribute type": "a name with a quote or a comma, or a range right behind the kind",
    "premature end of line": "a name with a comma",
}
"""Errors of WEKA in files that we read, and what is read there."""


class Table(NamedTuple):
    """What WEKA reads of a file, as texts: attributes, rows, and the error if there is one."""

    attributes: list[list[str]]
    rows: list[list[str]]
    error: str | None


@pytest.fixture(scope="module")
def weka(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the command that prints what WEKA reads of a folder."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing and not is_required("STREAMLEARN_REQUIRE_BROKER"):
        pytest.skip(f"{' and '.join(missing)} missing: the comparison with WEKA needs Java 17 and Maven")
    folder = tmp_path_factory.mktemp("weka")
    libraries = folder / "libraries"
    resolve = ["mvn", "-q", "-B", "-f", FOLDER / "pom.xml", "dependency:copy-dependencies"]
    subprocess.run([*resolve, f"-DoutputDirectory={libraries}"], check=True)
    path = f"{libraries}/*:{folder}"
    compiler = "org.eclipse.jdt.internal.compiler.batch.Main"
    source = FOLDER / "ReadArff.java"
    jar = next(libraries.glob("weka-*.jar"))
    subprocess.run(["java", "-cp", path, compiler, "-17", "-cp", jar, "-d", folder, source], check=True)
    return ["java", "-Duser.timezone=UTC", "-Duser.language=en", "-Duser.country=US", "-cp", path, "ReadArff"]


def read_by_weka(command: list[str], folder: Path) -> dict[str, Table]:
    run = subprocess.run([*command, folder], capture_output=True, check=True)
    tables: dict[str, Table] = {}
    table = Table([], [], None)
    for line in run.stdout.decode().splitlines():
        kind, *cells = line.split("\t")
        cells = [_unescape(cell) for cell in cells]
        if kind == "file":
            table = tables[cells[0]] = Table([], [], None)
        elif kind == "error":
            tables[list(tables)[-1]] = table._replace(error=cells[0])
        else:
            (table.attributes if kind == "attribute" else table.rows).append(cells)
    return tables


def _unescape(text: str) -> str:
    units = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


def differences(stream: ArffStream, rows: list[StreamRow], table: Table) -> list[str]:
    """Return in what the streams differ, empty if in nothing."""
    found = []
    attributes = stream.attributes
    declared = [[each.name, "1.0", each.kind.name.lower(), *each.values] for each in attributes]
    if declared != table.attributes:
        found.append(f"attributes {declared} and {table.attributes}")
    if len(rows) != len(table.rows):
        found.append(f"{len(rows)} and {len(table.rows)} rows")
    for row, (form, weight, *cells) in zip(rows, table.rows, strict=False):
        if weight != "1.0":
            found.append(f"weight {weight}")
        for attribute, cell in zip(attributes, cells, strict=True):
            value = (
                _truth(stream, row, attribute) if attribute.name in stream.labels else _feature(stream, row, attribute)
            )
            if not _equal(attribute, value, cell, sparse=form == "sparse"):
                found.append(f"{attribute.name}: {value!r} and {cell!r} in {row}")
    return found


ABSENT = object()


def _feature(stream: ArffStream, row: StreamRow, attribute: Attribute) -> object:
    if isinstance(row.x, dict):
        return row.x.get(attribute.name, ABSENT)
    assert not isinstance(row.x, dict)
    return row.x[list(stream.features).index(attribute.name)]  # pyright: ignore[reportArgumentType]


def _truth(stream: ArffStream, row: StreamRow, attribute: Attribute) -> object:
    if isinstance(row.y, dict):
        truth = row.y.get(attribute.name)
    else:
        truth = attribute.name in (row.y or ())
    if truth is None:
        return None
    return float(truth) if attribute.kind == AttributeKind.NUMERIC else str(int(truth))


def _equal(attribute: Attribute, value: object, cell: str, *, sparse: bool) -> bool:
    if value is ABSENT and not sparse:
        return cell == "?"
    if value is ABSENT:
        # WEKA gives a string that a sparse row leaves out the first string of the file.
        first = f"'{attribute.values[0]}" if attribute.values else ""
        return attribute.kind == AttributeKind.STRING or cell in (first, "0")
    if value is None or cell == "?":
        return (value is None or (isinstance(value, float) and math.isnan(value))) and cell == "?"
    if isinstance(value, str):
        return cell == f"'{value}"
    assert isinstance(value, float)
    return struct.unpack(">d", bytes.fromhex(cell.rjust(16, "0")))[0] == value


@pytest.mark.parametrize(("valid", "damaged"), [(300, 1_000), pytest.param(2_000, 20_000, marks=pytest.mark.slow)])
def test_both_read_the_same_of_a_generated_corpus(weka: list[str], tmp_path: Path, valid: int, damaged: int) -> None:
    files = corpus(SEED, valid, damaged)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    tables = read_by_weka(weka, tmp_path)
    assert tables.keys() == files.keys()
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    for name, table in tables.items():
        outcome, unexplained = compare(tmp_path / name, table)
        outcomes[outcome] += 1
        faults += [f"{fault}\n{name}: {files[name]!r}" for fault in unexplained]
    assert not faults, f"{len(faults)} differences, the first are:\n" + "\n".join(faults[:10])
    assert outcomes["both read valid"] > 0.8 * valid, outcomes
    assert outcomes["both read damaged"] > 0.1 * damaged, outcomes
    assert min(outcomes[key] for key in ("both refuse", "only WEKA reads", "only ours reads")) > 0, outcomes


def compare(path: Path, table: Table) -> tuple[str, list[str]]:
    """Return which of both read a file, and the differences that are not explained."""
    try:
        stream = ArffStream(path, "1")
        rows = list(stream)
    except UsageError as error:
        if table.error is not None:
            return "both refuse", []
        return "only WEKA reads", [] if any(re.search(reason, str(error)) for reason in REFUSED) else [str(error)]
    if table.error is not None:
        explained = any(re.search(reason, table.error) for reason in READ)
        return "only ours reads", [] if explained else [f"WEKA: {table.error}"]
    return f"both read {path.name.partition('-')[0]}", differences(stream, rows, table)
