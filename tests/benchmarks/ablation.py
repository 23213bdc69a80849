"""Ablation of the default learner: whole-stream means with one part disabled at a time. Run as a command:

    python -m tests.benchmarks.ablation STREAM... [--limit N] [--jobs N] [--json FILE]

Prints a table of means over the streams; ``--json`` also writes the figures of each stream. ``--limit`` restricts each
stream to its first N rows.
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

from streamlearn.learner.decode.joint_posterior import PosteriorParts
from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.experts.logit_rows import EXPERT_NAMES
from streamlearn.learner.mixture.logistic_mixing import WEIGHT_SETS, WeightSet
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import StreamRow
from streamlearn.streams.opening import open_stream
from tests.benchmarks.figures import Figure, add_history_option, keep

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
    """Difference to the default learner: rule, arguments of `EnsembleLearner`, and a change before the first row."""

    rule: str = "balanced"
    arguments: Mapping[str, Any] = MappingProxyType({})
    change: Callable[[EnsembleLearner], None] = lambda learner: None


def _without(*experts: str) -> Variant:
    return Variant(arguments={"experts": tuple(name for name in EXPERT_NAMES if name not in experts)})


def _without_weights(part: int) -> Variant:
    """Return the variant whose final mixture gives one weight set the weight 0 throughout."""

    def change(learner: EnsembleLearner) -> None:
        state = learner.mixer.state
        state.final[:] = 1.0 / (WEIGHT_SETS - 1)
        state.final[:, part] = 0.0
        # AdaGrad divides each step by the root of this sum: the weight stays 0.
        state.final_squared[:, part] = np.inf

    return Variant(change=change)


VARIANTS = {
    "everything": Variant(),
    **{f"without {name}": _without(name) for name in EXPERT_NAMES if name not in RATES},
    "without the mixture's weights for all": _without_weights(WeightSet.OVERALL),
    "without the mixture's weights by support": _without_weights(WeightSet.SUPPORT),
    "without the mixture's weights by rank": _without_weights(WeightSet.RANK),
    "without the mixture's own weights": _without_weights(WeightSet.OWN),
    "without the pool of label sets": Variant(arguments={"parts": PosteriorParts.TREE_ALONE}),
    "without the cluster tree": Variant(arguments={"parts": PosteriorParts.POOL_ALONE}),
    "without both (`threshold:0.5`)": Variant("threshold:0.5"),
    "partition `whole`": Variant(arguments={"partition": "whole"}),
    "partition `singletons`": Variant(arguments={"partition": "singletons"}),
    "partition `random`": Variant(arguments={"partition": "random"}),
    "everything, rule `hamming`": Variant("hamming"),
}
"""Variants by permanent name. The rule ``hamming`` is a threshold of 0.5 on the fixed share of own and joint
probabilities; ``threshold:0.5`` uses the own probabilities alone, so the difference is what the fixed share adds."""


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


def format_table(found: list[dict[str, dict[str, float | None]]]) -> str:
    """Return a Markdown table: the first variant's means over streams, and the differences of the others from them."""
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


def make_figures(found: list[dict[str, dict[str, float | None]]]) -> dict[str, Figure]:
    """Return the mean over streams of each measure of each variant."""
    return {
        f"{name}/{measure}": Figure(
            statistics.fmean(of_stream[name][measure] or 0.0 for of_stream in found),
            "",
            "lower" if measure == "hamming_loss" else "higher",
        )
        for name in VARIANTS
        for measure in MEASURES
    }


def main() -> None:
    """Measure, print the table, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", nargs="+", metavar="STREAM", help="a file or synthetic:NAME")
    parser.add_argument("--limit", type=int, help="rows of each stream (all)")
    parser.add_argument("--jobs", type=int, default=1, help="streams measured in parallel (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures of each stream")
    add_history_option(parser)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        found = list(pool.map(measure_stream, options.streams, [options.limit] * len(options.streams)))
    if options.json:
        options.json.write_text(json.dumps(dict(zip(options.streams, found, strict=True)), indent=1))
    print(format_table(found))  # noqa: T201
    keep("ablation", make_figures(found), options)


if __name__ == "__main__":
    main()
