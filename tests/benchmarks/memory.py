"""Bytes of a model's state: per feature and label, and along a stream. Run as a command:

    python -m tests.benchmarks.memory [--preset NAME] [--stream FILE] [--every N]

Prints the bytes per feature, per label, per pair of feature and label and per pair of labels, from models without rows
that differ only in these numbers, and the upper bound of the bytes that depend on neither. With ``--stream`` it also
prints, every ``--every`` rows: the rows so far, the bytes of the state, the bytes that grow with rows alone, of these
the counters of label trees and the window of neighbours, and the resident bytes of the process.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamlearn.model.learner_factory import learner_bytes_bound
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import Stream
from streamlearn.streams.opening import open_stream
from tests.benchmarks.figures import Figure, add_history_option, keep

FEATURES = (512, 1_024, 2_048)
LABELS = (48, 96, 192)
"""Multiples of 16, the maximum number of children of a node of the cluster tree."""

NAME_BYTES = 8
BATCH = 500


class Growth(NamedTuple):
    """Bytes of state per feature and per label, without its name, per pair of the two (cell), and per pair of labels.

    ``fixed`` is the upper bound of the bytes that depend on neither: windows, indexes, pools and trees, which have
    bounds of their own.
    """

    feature: float
    label: float
    cell: float
    label_pair: float
    fixed: int

    def bytes_of(self, features: int, labels: int, name_bytes: int = 0) -> float:
        """Return the bytes of a state without its fixed part; ``name_bytes`` are the bytes of all names."""
        return (
            self.feature * features
            + self.label * labels
            + self.cell * features * labels
            + self.label_pair * labels * labels
            + name_bytes
        )


DECLARED = {
    "default": Growth(80, 1_460, 28, 24, 82_000_000),
    "fast": Growth(72, 1_395, 20, 8, 68_400_000),
}
"""The bytes that docs/learner.md declares."""


class Point(NamedTuple):
    """The size of a model after some rows, in bytes.

    ``by_rows`` is the state without what its features and labels add; of these bytes, ``trees`` are the counters of
    label trees and ``window`` the window of neighbours. ``resident`` is the whole process.
    """

    rows: int
    features: int
    labels: int
    state: int
    by_rows: int
    trees: int
    window: int
    resident: int | None


def settings_of(preset: str) -> Settings:
    """Return settings whose limits exceed every measurement."""
    return Settings.model_validate(
        {"learner": {"preset": preset}, "labels": {"maximum": 4_096}, "limits": {"memory_bytes": 1 << 42}}
    )


def empty_model(preset: str, features: int, labels: int) -> StreamModel:
    """Return a model without rows; every name has `NAME_BYTES` bytes."""
    return StreamModel(
        settings_of(preset),
        labels=[f"{number:0{NAME_BYTES}d}" for number in range(labels)],
        features=[f"{number:0{NAME_BYTES}d}" for number in range(features)],
    )


def measure_growth(preset: str) -> Growth:
    """Return the bytes that features and labels add, fitted to models that differ in nothing else."""
    sizes = list(itertools.product(FEATURES, LABELS))
    state_bytes = [empty_model(preset, *size).memory_bytes() - NAME_BYTES * sum(size) for size in sizes]
    terms = np.array([[features, labels, features * labels, labels * labels, 1.0] for features, labels in sizes])
    found = np.linalg.lstsq(terms / terms.max(axis=0), np.array(state_bytes, np.float64), rcond=None)[0] / terms.max(
        axis=0
    )
    feature, label, cell, label_pair, _ = (round(float(value), 3) for value in found)
    return Growth(feature, label, cell, label_pair, learner_bytes_bound(settings_of(preset), 1, 1))


def resident_bytes() -> int | None:
    """Return the resident bytes of this process; None where the system has no ``/proc``."""
    file = Path("/proc/self/status")
    if not file.exists():
        return None
    line = next(line for line in file.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def measure_along(stream: Stream, preset: str, every: int) -> Iterator[Point]:
    """Yield the model's size after each ``every`` rows and at the end."""
    model = StreamModel(settings_of(preset), labels=stream.labels, features=stream.features)
    growth = measure_growth(preset)
    rows = 0
    batch = model.new_batch()
    for row in stream:
        batch.predict_and_learn(row.x, row.y or [])
        rows += 1
        if rows % every and len(batch) < BATCH:
            continue
        model.apply(batch)
        batch = model.new_batch()
        if rows % every == 0:
            yield _point(model, growth, rows)
    model.apply(batch)
    if rows % every:
        yield _point(model, growth, rows)


def _point(model: StreamModel, growth: Growth, rows: int) -> Point:
    arrays = model.arrays()
    state = sum(array.nbytes for array in arrays.values())
    names = sum(array.nbytes for name, array in arrays.items() if name.endswith(".names"))
    features, labels = model.feature_count, model.labels.count
    return Point(
        rows,
        features,
        labels,
        state,
        round(state - growth.bytes_of(features, labels, names)),
        sum(array.nbytes for name, array in arrays.items() if name.endswith("label_tree.block")),
        sum(array.nbytes for name, array in arrays.items() if ".neighbours." in name),
        resident_bytes(),
    )


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="default", choices=sorted(DECLARED), help="of the learner (%(default)s)")
    parser.add_argument("--stream", help="a file or synthetic:NAME")
    parser.add_argument("--every", type=int, default=10_000, help="rows between two lines (%(default)s)")
    add_history_option(parser)
    options = parser.parse_args()
    found = measure_growth(options.preset)
    figures = {f"{options.preset}/{name}": Figure(value, "bytes", "lower") for name, value in found._asdict().items()}
    for name, value in found._asdict().items():
        print(f"{name:12}{value:14,.0f}")  # noqa: T201
    if options.stream:
        print(  # noqa: T201
            f"{'rows':>9}{'features':>10}{'labels':>8}{'state':>14}{'by rows':>14}"
            f"{'trees':>11}{'window':>11}{'others':>11}{'resident':>15}"
        )
        for point in measure_along(open_stream(options.stream), options.preset, options.every):
            resident = "" if point.resident is None else f"{point.resident:,}"
            print(  # noqa: T201
                f"{point.rows:9,}{point.features:10,}{point.labels:8,}{point.state:14,}{point.by_rows:14,}"
                f"{point.trees:11,}{point.window:11,}{point.by_rows - point.trees - point.window:11,}{resident:>15}",
                flush=True,
            )
            figures[f"{options.preset} along {options.stream}/{point.rows:,} rows"] = Figure(
                point.state, "bytes", "lower"
            )
    keep("memory", figures, options)


if __name__ == "__main__":
    main()
