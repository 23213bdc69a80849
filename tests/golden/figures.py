"""Golden figures: how they are measured, stored and compared, and their tolerance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from streamlearn.evaluation.prequential import Report, evaluate_stream
from streamlearn.settings.settings import Settings
from streamlearn.streams.opening import open_stream

FILE = Path(__file__).with_name("figures.json")
RULE = "balanced"
STREAMS = (
    "flags",
    "waterquality",
    "emotions",
    "yeast",
    "scene",
    "medical",
    "langlog",
    "slashdot",
    "bibtex",
    "corel5k",
    "ng20",
    "tmc2007",
    "imdb",
    "delicious",
)
MEASURES = (
    "subset_accuracy",
    "hamming_loss",
    "example_f1",
    "example_jaccard",
    "micro_f1",
    "macro_f1",
    "log_loss",
    "calibration_error",
)
COMMAND = "python -m tests.golden"


class Difference(NamedTuple):
    """A measure that differs from its golden figure by more than the tolerance."""

    measure: str
    golden: float
    measured: float | None
    tolerance: float


def measure(path: Path) -> Report:
    """Evaluate the default learner with rule `RULE` on a whole stream."""
    return evaluate_stream(open_stream(str(path)), Settings.model_validate({"learner": {"rule": RULE}}))


def tolerance(instances: int) -> float:
    """Return the allowed difference of a measure from its golden figure: 0.002 plus the weight of two rows.

    A run is bit-identical on the same machine; the order of additions of another processor changes a few answers.
    """
    return round(0.002 + 2.0 / instances, 6)


def make_figures(report: Report) -> dict[str, Any]:
    """Return the figures of a stream, as the file stores them."""
    return {
        "instances": report.instances,
        "labels": report.labels,
        "tolerance": tolerance(report.instances),
        "measures": {name: round(value, 6) for name in MEASURES if (value := report.measures[name]) is not None},
    }


def find_differences(golden: Mapping[str, Any], measures: Mapping[str, float | None]) -> list[Difference]:
    """Return the measures that differ from their golden figures by more than the tolerance, in either direction."""
    allowed = float(golden["tolerance"])
    return [
        Difference(name, figure, value, allowed)
        for name, figure in golden["measures"].items()
        if (value := measures[name]) is None or abs(value - figure) > allowed
    ]


def read() -> dict[str, dict[str, Any]]:
    """Read the figures of each stream."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def write(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the figures, the streams in the order of `STREAMS`."""
    ordered = {name: figures[name] for name in STREAMS if name in figures}
    FILE.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
