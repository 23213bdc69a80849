"""Reports made by hand, for tests of results and comparisons."""

from __future__ import annotations

from streamlearn.evaluation.prequential import Report
from streamlearn.evaluation.ranking import MEASURES


def report(stream: str = "s", learner: str = "last", rule: str = "", instances: int = 10) -> Report:
    """Return a report whose measures are all 0.5."""
    measures: dict[str, float | None] = {measure.name: 0.5 for measure in MEASURES} | {"log_loss": 0.25}
    measures |= {"calibration_error": None}
    windows = [{"from": 0, "to": instances, "measures": measures}]
    return Report(stream, learner, "default", rule, 0, instances, 2, 3, 0.5, measures, windows)
