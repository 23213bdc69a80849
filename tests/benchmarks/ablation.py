"""What each part of the default learner adds: whole-stream means with one part switched off at a time. A command:

    python -m tests.benchmarks.ablation STREAM... [--limit N] [--jobs N] [--json FILE]

Prints a table of means over the streams, and with ``--json`` writes every stream's figures. With ``--limit`` only the
first N rows of each stream count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from streamlearn.learner.decode.joint import POOL_ALONE, TREE_ALONE
from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.experts.logit_rows import EXPERT_NAMES
from streamlearn.learner.mixture.logistic_mixing import WEIGHT_SETS, WeightSet
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import StreamRow
from streamlearn.streams.opening import open_stream

BATCH = 500
MEASURES = {
    "subset_accuracy": "subset",
    "hamming_loss": "Hamming",
    "example_f1": "example F1",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
}
RATES = ("fast_rate", "slow_rate")


class Variant(NamedTuple):
    """What differs from the default learner: its rule, arguments of `EnsembleLearner`, a change before row 0."""

    rule: str = "balanced"
    arguments: Mapping[str, Any] = MappingProxyType({})
    change: Callable[[EnsembleLearner], None] = lambda learner: None


def _without(*experts: str) -> Variant:
    return Variant(arguments={"experts": tuple(name for name in EXPERT_NAMES if name not in experts)})


def _without_weights(part: int) -> Variant:
    """Return the variant in which one of the mixture's weight sets never has a say."""

    def change(learner: EnsembleLearner) -> None:
        state = learner.mixer.state
        state.final[:] = 1.0 / (WEIGHT_SETS - 1)
        state.final[:, part] = 0.0
        # A step is divided by the root of this sum: none is taken.
        state.final_squared[:, part] = np.inf

    return Variant(change=change)


VARIANTS = {
    "everything": Variant(),
    **{f"without {name}": _without(name) for name in EXPERT_NAMES if name not in RATES},
    "without the mixture's weights for all": _without_weights(WeightSet.OVERALL),
    "without the mixture's weights by support": _without_weights(WeightSet.SUPPORT),
    "without the mixture's weights by rank": _without_weights(WeightSet.RANK),
    "without the mixture's own weights": _without_weights(WeightSet.OWN),
    "without the pool of label sets": Variant(arguments={"parts": TREE_ALONE}),
    "without the cluster tree": Variant(arguments={"parts": POOL_ALONE}),
    "without both (`threshold:0.5`)": Variant("threshold:0.5"),
    "partition `whole`": Variant(arguments={"partition": "whole"}),
    "partition `singletons`": Variant(arguments={"partition": "singletons"}),
    "partition `random`": Variant(arguments={"partition": "random"}),
    "everything, rule `hamming`": Variant("hamming"),
}
"""Beside the rule ``hamming``, which is a threshold of one half on the fixed share of own and joint probabilities, the
threshold alone shows what that share adds."""


def measure(variant: Variant, rows: list[StreamRow], labels: list[str], features: list[str]) -> dict[str, float | None]:
    """Return the whole-stream measures of a variant."""
    settings = Settings.model_validate(
        {"learner": {"rule": variant.rule, "scores_top": 0}, "limits": {"memory_bytes": 2**36}}
    )
    model = StreamModel(settings, labels=labels, features=features)
    known = len(model.label_names)
    learner = EnsembleLearner(known, maximum_labels=1024, scores_top=0, **variant.arguments)
    variant.change(learner)
    model.learner = learner
    for start in range(0, len(rows), BATCH):
        batch = model.new_batch()
        for row in rows[start : start + BATCH]:
            if row.y is None:
                batch.predict(row.x)
            else:
                batch.predict_and_learn(row.x, row.y)
        model.apply(batch)
    return model.measures.whole()


def measure_stream(spec: str, limit: int | None) -> dict[str, dict[str, float | None]]:
    """Return the measures of every variant on one stream."""
    stream = open_stream(spec, instances=limit)
    rows = list(itertools.islice(iter(stream), limit))
    found = {}
    for name, variant in VARIANTS.items():
        found[name] = measure(variant, rows, list(stream.labels), list(stream.features))
        print(f"{stream.name}: {name}", file=sys.stderr, flush=True)  # noqa: T201
    return found


def table(found: list[dict[str, dict[str, float | None]]]) -> str:
    """Return the means over streams as a Markdown table: the first row as it is, the others by their differences."""
    lines = ["| | " + " | ".join(MEASURES.values()) + " |", "|---|" + "--:|" * len(MEASURES)]
    first: list[float] = []
    for name in VARIANTS:
        means = [statistics.fmean(of_stream[name][measure] or 0.0 for of_stream in found) for measure in MEASURES]
        cells = [f"{mean:.4f}" for mean in means]
        if first:
            cells = [f"{mean - base:+.4f}" for mean, base in zip(means, first, strict=True)]
        first = first or means
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", nargs="+", metavar="STREAM")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        found = list(pool.map(measure_stream, asked.streams, [asked.limit] * len(asked.streams)))
    if asked.json:
        asked.json.write_text(json.dumps(dict(zip(asked.streams, found, strict=True)), indent=1))
    print(table(found))  # noqa: T201


if __name__ == "__main__":
    main()
