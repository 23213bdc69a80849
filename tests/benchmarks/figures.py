"""Figures of a benchmark as dated JSON: values, commit and machine.

The id of a figure, ``BENCHMARK/SUBJECT/QUANTITY``, never changes, so that files of different commits can be compared
(`tests.benchmarks.compare`).
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

HISTORY = Path(__file__).with_name("history")
SCHEMA = 1
PACKAGES = ("kafka-python", "numba", "numpy", "river", "vowpalwabbit")

Better = Literal["higher", "lower", "neither"]


class Figure(NamedTuple):
    """A measured value, its unit, and which direction is better."""

    value: float
    unit: str
    better: Better


class Record(NamedTuple):
    """The figures of one run of a benchmark, by id."""

    benchmark: str
    taken: str
    commit: str
    machine: dict[str, Any]
    options: dict[str, Any]
    figures: dict[str, Figure]


def add_history_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--history``, the folder of the figures."""
    parser.add_argument(
        "--history",
        default=str(HISTORY),
        metavar="FOLDER",
        help="folder for the figures as dated JSON; '' to keep none (%(default)s)",
    )


def keep(benchmark: str, figures: Mapping[str, Figure], options: argparse.Namespace) -> Path | None:
    """Write a record of figures and return its path.

    The ids in ``figures`` come without the benchmark's name. ``options`` are those of the command; ``options.history``
    is the folder, and nothing is written when it is empty.
    """
    if not options.history:
        return None
    kept = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    del kept["history"]
    now = datetime.datetime.now(datetime.UTC)
    record = Record(
        benchmark,
        now.isoformat(timespec="seconds"),
        _commit(),
        _machine(),
        kept,
        {f"{benchmark}/{name}": figure for name, figure in figures.items()},
    )
    folder = Path(options.history)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%dT%H%M%S}-{record.commit[:8]}-{benchmark}.json"
    content = {"schema": SCHEMA, **record._asdict(), "figures": {k: v._asdict() for k, v in record.figures.items()}}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> Record:
    """Read a record that `keep` wrote.

    Raises
    ------
    ValueError
        When the file is not such a record, or has another schema.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
        raise ValueError(f"{path} holds no figures of schema {SCHEMA}: write it again with a benchmark of this version")
    figures = {name: Figure(**figure) for name, figure in content.pop("figures").items()}
    return Record(**content, figures=figures)


def _commit() -> str:
    """Return the commit of the checkout, with ``-dirty`` when tracked files differ from it."""
    try:
        return _git("rev-parse", "HEAD") + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parents[2]), *arguments]
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()


def _machine() -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
