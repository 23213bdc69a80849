"""Instances per second of predicting and learning, compared with Vowpal Wabbit and river. Run as a command:

    python -m tests.benchmarks.learner [--streams NAME,...] [--rows N] [--runs N]

Our learner predicts, decodes and learns encoded arrays on one thread, one instance after the other. Vowpal Wabbit
learns the same scaled values with ``--multilabel_oaa`` and logistic loss from its own cache file and writes its
predictions; its time is its wall time minus that of a run on one instance. Both have a warm-up run that is not counted,
then run alternately, and the medians are compared. river's binary relevance of logistic regressions learns the first
instances only. The 99th percentile is that of instances passed to the learner one at a time. Needs the extra ``[vw]``
and the real streams.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from river import linear_model
from vowpalwabbit import Workspace

from streamlearn.learner.decode.label_set_choice import RULE_CODES
from streamlearn.learner.entries import Entries
from streamlearn.learner.operations import OperationKind, Operations
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.model.learner_factory import new_learner
from streamlearn.model.stream_model import StreamModel
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.settings import Settings
from streamlearn.streams.opening import open_stream
from tests.benchmarks.figures import Figure, add_history_option, keep
from tests.datasets import datasets_folder

STREAMS = ("imdb", "tmc2007", "ng20", "slashdot", "yeast", "scene", "bibtex", "delicious")
BATCH = 1_000
RIVER_ROWS = 300
SINGLE_ROWS = 3_000


class Encoded(NamedTuple):
    """A stream as arrays: row i has ``entries`` from ``starts[i]`` and label ``slots`` from ``truth_starts[i]`` on."""

    labels: int
    features: int
    starts: np.ndarray
    entries: Entries
    truth_starts: np.ndarray
    slots: np.ndarray

    @property
    def rows(self) -> int:
        return self.starts.size - 1


def encode_stream(path: Path, rows: int) -> Encoded:
    """Encode the first rows of a stream."""
    stream = open_stream(str(path))
    settings = Settings.model_validate({"labels": {"maximum": 2048}, "limits": {"memory_bytes": 1 << 40}})
    model = StreamModel(settings, labels=stream.labels, features=stream.features)
    found = [row for _, row in zip(range(rows), stream, strict=False)]
    arrays = model.encoder.encode([row.x for row in found], observe=True)
    slots = [model.labels.resolve(row.y or []).slots for row in found]
    truth_starts = np.zeros(len(slots) + 1, np.int64)
    np.cumsum([len(row) for row in slots], out=truth_starts[1:])
    entries = Entries(arrays.columns, arrays.values, arrays.rarity_weighted, arrays.bins)
    flat = np.array([slot for row in slots for slot in row], np.int32)
    return Encoded(model.labels.count, model.encoder.columns.count, arrays.starts, entries, truth_starts, flat)


def operations(data: Encoded, first: int, last: int) -> Operations:
    """Return operations that predict and learn the rows from ``first`` up to ``last``, exclusive."""
    count = last - first
    truth = data.truth_starts[first : last + 1] - data.truth_starts[first]
    slots = data.slots[data.truth_starts[first] : data.truth_starts[last]]
    return Operations(
        np.full(count, OperationKind.PREDICT | OperationKind.LEARN, np.uint8),
        data.starts[first:last],
        data.starts[first + 1 : last + 1],
        data.entries,
        truth,
        slots,
        np.ones(slots.size, np.int8),
        np.ones(count, np.uint8),
        np.full(count, RULE_CODES["balanced"], np.int64),
        np.zeros(count, np.int64),
        np.zeros(count),
        np.full(count, -1, np.int64),
        np.zeros(count + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
    )


def make_learner(data: Encoded, preset: str) -> StreamLearner:
    """Return a preset's learner with the stream's labels and columns."""
    settings = Settings.model_validate({"learner": {"preset": preset, "scores_top": 0}})
    learner = new_learner(settings, data.labels, max(data.labels, 1024))
    learner.grow_features(data.features)
    return learner


def time_rows(data: Encoded, preset: str) -> float:
    """Return the seconds of one run over all rows."""
    learner = make_learner(data, preset)
    walks = [operations(data, row, min(row + BATCH, data.rows)) for row in range(0, data.rows, BATCH)]
    begun = time.perf_counter()
    for walk in walks:
        learner.apply(walk)
    return time.perf_counter() - begun


def single_row_p99(data: Encoded, preset: str) -> float:
    """Return the 99th percentile of the milliseconds per row, of rows passed one at a time."""
    learner = make_learner(data, preset)
    head = max(0, data.rows - SINGLE_ROWS)
    for row in range(0, head, BATCH):
        learner.apply(operations(data, row, min(row + BATCH, head)))
    taken = []
    for row in range(head, data.rows):
        alone = operations(data, row, row + 1)
        begun = time.perf_counter()
        learner.apply(alone)
        taken.append(time.perf_counter() - begun)
    return float(np.percentile(taken, 99)) * 1e3


def prepare_vowpal_wabbit(data: Encoded, folder: Path) -> Callable[[], float]:
    """Write the rows for Vowpal Wabbit; return a function that runs it over them and returns the seconds."""
    text, one = folder / "rows.txt", folder / "row.txt"
    columns, values = data.entries.columns.tolist(), data.entries.values.tolist()
    with text.open("w", encoding="ascii") as file:
        for row in range(data.rows):
            slots = data.slots[data.truth_starts[row] : data.truth_starts[row + 1]].tolist()
            # Vowpal Wabbit reads a row without labels as one without truth, so such rows get an extra label.
            labels = ",".join(map(str, slots or [data.labels]))
            entries = range(data.starts[row], data.starts[row + 1])
            file.write(f"{labels} | " + " ".join(f"{columns[entry]}:{values[entry]:.6g}" for entry in entries) + "\n")
    with text.open(encoding="ascii") as file:
        one.write_text(file.readline(), encoding="ascii")
    bits = min(max((data.features * (data.labels + 1)).bit_length(), 18), 24)

    def run_seconds(rows: Path) -> float:
        begun = time.perf_counter()
        workspace = Workspace(
            f"--multilabel_oaa {data.labels + 1} --loss_function logistic -b {bits} --quiet -d {rows} "
            f"--cache_file {rows}.cache -p {rows}.predictions"
        )
        workspace.run_parser()
        workspace.finish()
        return time.perf_counter() - begun

    return lambda: run_seconds(text) - run_seconds(one)


def river_rows_per_second(data: Encoded) -> float:
    """Return the rows per second of river's binary relevance of logistic regressions, on the first rows."""
    models: list[Any] = [linear_model.LogisticRegression() for _ in range(data.labels)]
    columns, values = data.entries.columns.tolist(), data.entries.values.tolist()
    rows = min(RIVER_ROWS, data.rows)
    begun = time.perf_counter()
    for row in range(rows):
        x = {columns[entry]: values[entry] for entry in range(data.starts[row], data.starts[row + 1])}
        truth = set(data.slots[data.truth_starts[row] : data.truth_starts[row + 1]].tolist())
        for label, model in enumerate(models):
            model.predict_proba_one(x)
            model.learn_one(x, label in truth)
    return rows / (time.perf_counter() - begun)


def measure(name: str, rows: int, runs: int) -> dict[str, float]:
    """Return the rows per second of each learner on one stream, and the 99th percentiles in milliseconds."""
    data = encode_stream(datasets_folder() / f"{name}.arff.gz", rows)
    with tempfile.TemporaryDirectory() as folder:
        vowpal_wabbit = prepare_vowpal_wabbit(data, Path(folder))
        contenders: dict[str, Callable[[], float]] = {
            "default": lambda: time_rows(data, "default"),
            "fast": lambda: time_rows(data, "fast"),
            "vw": vowpal_wabbit,
        }
        taken: dict[str, list[float]] = {contender: [] for contender in contenders}
        for run in range(runs + 1):
            for contender, run_once in contenders.items():
                seconds = run_once()
                if run:
                    taken[contender].append(seconds)
    found = {contender: data.rows / statistics.median(seconds) for contender, seconds in taken.items()}
    return found | {
        "river": river_rows_per_second(data),
        "p99 default": single_row_p99(data, "default"),
        "p99 fast": single_row_p99(data, "fast"),
    }


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(math.log(value) for value in values) / len(values))


def main() -> None:
    """Measure, print a line per stream, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default=",".join(STREAMS), help="names, comma-separated (%(default)s)")
    parser.add_argument("--rows", type=int, default=30_000, help="maximum number of rows per stream (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each learner (%(default)s)")
    add_history_option(parser)
    options = parser.parse_args()
    warm_up(Settings())
    print(  # noqa: T201
        f"{'rows/s':10} {'default':>9} {'fast':>9} {'vw':>9} {'river':>7}  {'default/vw':>10} {'fast/vw':>8}  p99 ms"
    )
    ratios: dict[str, list[float]] = {"default": [], "fast": []}
    figures: dict[str, Figure] = {}
    for name in options.streams.split(","):
        found = measure(name, options.rows, options.runs)
        for preset, of_preset in ratios.items():
            of_preset.append(found[preset] / found["vw"])
            figures[f"{name}/{preset} rows per second"] = Figure(found[preset], "rows/s", "higher")
            figures[f"{name}/{preset} ratio to vw"] = Figure(of_preset[-1], "", "higher")
            figures[f"{name}/{preset} p99"] = Figure(found[f"p99 {preset}"], "ms", "lower")
        for peer in ("vw", "river"):
            figures[f"{name}/{peer} rows per second"] = Figure(found[peer], "rows/s", "neither")
        print(  # noqa: T201
            f"{name:10} {found['default']:9,.0f} {found['fast']:9,.0f} {found['vw']:9,.0f} {found['river']:7,.1f}"
            f"  {ratios['default'][-1]:10.2f} {ratios['fast'][-1]:8.2f}"
            f"  {found['p99 default']:.2f} {found['p99 fast']:.2f}",
            flush=True,
        )
    print(  # noqa: T201
        f"geometric means: default {geometric_mean(ratios['default']):.2f}, fast {geometric_mean(ratios['fast']):.2f}"
    )
    for preset, of_preset in ratios.items():
        figures[f"all/{preset} ratio to vw"] = Figure(geometric_mean(of_preset), "", "higher")
    keep("learner", figures, options)


if __name__ == "__main__":
    main()
