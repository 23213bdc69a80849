"""Compares two records of figures, base and head. Run as a command:

    python -m tests.benchmarks.compare OLD NEW

OLD and NEW are each a file that a benchmark wrote to ``tests/benchmarks/history``, or a folder of such files, of which
the newest of each benchmark is used. The ratio is NEW / OLD. A figure that only one side has is listed without a ratio.
Figures of different machines are compared too, with a warning.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.figures import Figure, Record, read

TOLERANCE = 0.05
"""Ratios that differ from 1 by at most this count as equal: timings of a shared machine vary as much."""


def read_newest(path: Path) -> dict[str, Record]:
    """Return the newest record of each benchmark in a file or a folder."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found = [read(file) for file in files]
    return {record.benchmark: record for record in sorted(found, key=lambda record: record.taken)}


def judge(old: Figure, new: Figure) -> str:
    """Return ``better`` or ``worse``, and nothing for equal values or an old value of 0."""
    if old.better == "neither" or not old.value or abs(new.value / old.value - 1) <= TOLERANCE:
        return ""
    return "better" if (new.value > old.value) == (old.better == "higher") else "worse"


def format_table(old: dict[str, Record], new: dict[str, Record]) -> list[str]:
    """Return the lines of the comparison, one per figure."""
    before = {name: figure for record in old.values() for name, figure in record.figures.items()}
    after = {name: figure for record in new.values() for name, figure in record.figures.items()}
    width = max((len(name) for name in before | after), default=0)
    lines = [f"{'figure':{width}}  {'old':>14}  {'new':>14}  ratio"]
    for name in sorted(before | after):
        was, now = before.get(name), after.get(name)
        shown = [f"{figure.value:14,.4g}" if figure else f"{'-':>14}" for figure in (was, now)]
        ratio = f"{now.value / was.value:5.2f} {judge(was, now):6}" if was and now and was.value else " " * 12
        unit = (was or now or Figure(0.0, "", "neither")).unit
        lines.append(f"{name:{width}}  {'  '.join(shown)}  {ratio} {unit}".rstrip())
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="file or folder of the base")
    parser.add_argument("new", type=Path, help="file or folder of the head")
    options = parser.parse_args(arguments)
    try:
        old, new = read_newest(options.old), read_newest(options.new)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for benchmark in sorted(old.keys() & new.keys()):
        was, now = old[benchmark], new[benchmark]
        sys.stdout.write(f"{benchmark}: {was.commit[:8]} at {was.taken} -> {now.commit[:8]} at {now.taken}\n")
        for part in ("machine", "options"):
            if getattr(was, part) != getattr(now, part):
                sys.stderr.write(f"{benchmark}: the {part} differ: {getattr(was, part)}, {getattr(now, part)}\n")
    sys.stdout.write("\n".join(format_table(old, new)) + "\n")


if __name__ == "__main__":
    main()
