"""Results of learners on streams, from reports of our own runs and from published tables."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.catalogue import STREAMLEARN
from streamlearn.evaluation.calibration import NAMES as PROBABILITY_MEASURES
from streamlearn.evaluation.curve import NAMES as CURVE_MEASURES
from streamlearn.evaluation.prequential import Report
from streamlearn.model.measures import NAMES as LABEL_SET_MEASURES
from streamlearn.streams.compression import UNREADABLE, open_bytes
from streamlearn.streams.file_kinds import damaged_file

PUBLISHED_MEASURES = {
    "subset_acc": "subset_accuracy",
    "hamming": "hamming_loss",
    "example_f1": "example_f1",
    "micro_f1": "micro_f1",
    "macro_f1": "macro_f1",
}
"""Measure names in published tables to our names."""

UNFINISHED = 1e9
"""Published tables mark a run that did not finish with a number from here on, or with the measure's worst value."""

WORST = dict.fromkeys(PUBLISHED_MEASURES.values(), 0.0) | {"hamming_loss": 1.0}
"""The value of each measure for a run that did not finish."""

PUBLISHED_STREAMS = {"tmc": "tmc2007", "d20ng": "ng20"}
"""Stream names in published tables, in lower case, to our names."""

OWN_RULES = {
    "subset_accuracy": "subset",
    "hamming_loss": "hamming",
    "example_f1": "f1",
    "example_jaccard": "f1",
    "micro_f1": "balanced",
    "macro_f1": "macro",
}
"""The decision rule for each measure, or the nearest one."""

OWN_RULES_NAME = "own-rules"
"""Stands for the rule in the name of a learner that uses `OWN_RULES`."""


class Result(NamedTuple):
    """The measures of a learner on a stream, by name."""

    learner: str
    stream: str
    measures: dict[str, float]


def result_name(learner: str, preset: str, rule: str) -> str:
    """Return the learner name of a result: for streamlearn ``streamlearn:RULE`` or ``streamlearn:PRESET:RULE``."""
    if learner != STREAMLEARN:
        return learner
    return f"{STREAMLEARN}:{rule}" if preset == "default" else f"{STREAMLEARN}:{preset}:{rule}"


def learner_name(report: Report) -> str:
    """Return the learner name of a report's result."""
    return result_name(report.learner, report.preset, report.rule)


def results_from_reports(reports: Iterable[Report]) -> list[Result]:
    """Return the results of reports.

    Raises
    ------
    UsageError
        When reports of a stream have different numbers of instances, or a learner has two reports on it.
    """
    instances: dict[str, int] = {}
    results: dict[tuple[str, str], Result] = {}
    for report in reports:
        name = learner_name(report)
        if instances.setdefault(report.stream, report.instances) != report.instances:
            raise UsageError(
                f"{report.stream}: {name} has {report.instances:,} instances, another learner "
                f"{instances[report.stream]:,}; only results over the same rows can be compared (--limit)"
            )
        if (name, report.stream) in results:
            raise UsageError(f"{report.stream}: there are two results of {name}; keep one")
        measures = {measure: value for measure, value in report.measures.items() if value is not None}
        results[name, report.stream] = Result(name, report.stream, measures)
    return list(results.values())


def combine_own_rules(results: Iterable[Result]) -> list[Result]:
    """Return the results with those of streamlearn combined into one learner, which uses `OWN_RULES` per measure.

    Raises
    ------
    UsageError
        When a stream lacks the result of one of the rules.
    """
    combined: list[Result] = []
    rules: dict[tuple[str, str], dict[str, Result]] = {}
    for result in results:
        prefix, colon, rule = result.learner.rpartition(":")
        if colon and prefix.partition(":")[0] == STREAMLEARN and rule in OWN_RULES.values():
            rules.setdefault((prefix, result.stream), {})[rule] = result
        else:
            combined.append(result)
    for (prefix, stream), by_rule in rules.items():
        missing = [rule for rule in dict.fromkeys(OWN_RULES.values()) if rule not in by_rule]
        if missing:
            raise UsageError(f"{stream}: --own-rules needs {', '.join(f'{prefix}:{rule}' for rule in missing)} as well")
        measures = {
            measure: by_rule[rule].measures[measure]
            for measure, rule in OWN_RULES.items()
            if measure in by_rule[rule].measures
        }
        combined.append(Result(f"{prefix}:{OWN_RULES_NAME}", stream, measures))
    return combined


def read_reports(path: Path) -> list[Report]:
    """Return the reports in a file of ``evaluate --json`` or ``compare --json``, which may be compressed.

    Raises
    ------
    UsageError
        When the file cannot be read; the error says in which line.
    """
    reports = []
    try:
        with open_bytes(path) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except UNREADABLE as error:
        raise damaged_file(str(path), error) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a file of `streamlearn evaluate --json`: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                reports.append(_parse_report(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
                raise UsageError(
                    f"{path}, line {number}: not a result of `streamlearn evaluate --json`: {reason}"
                ) from None
    if not reports:
        raise UsageError(f"{path} has no results: give a file that `streamlearn evaluate --json` has written")
    return reports


def _parse_report(value: Any) -> Report:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    measures = _parse_measures(value["measures"])
    windows = [
        {"from": int(window["from"]), "to": int(window["to"]), "measures": _parse_measures(window["measures"])}
        for window in value["windows"]
    ]
    return Report(
        stream=str(value["stream"]),
        learner=str(value["learner"]),
        preset=str(value["preset"]),
        rule=str(value["rule"]),
        seed=int(value["seed"]),
        instances=int(value["instances"]),
        features=int(value["features"]),
        labels=int(value["labels"]),
        seconds=float(value["seconds"]),
        measures=measures,
        windows=windows,
        remarks=[str(remark) for remark in value.get("remarks", ())],
        alarms=[int(row) for row in value.get("alarms", ())],
        settings=dict(value.get("settings", {})),
        labels_from=str(value.get("labels_from", "")),
        label_names=[str(name) for name in value.get("label_names", ())],
        curve=[_parse_span(span) for span in value.get("curve", ())],
        calibration=[
            {"pairs": int(each["pairs"]), "probability": float(each["probability"]), "true": float(each["true"])}
            for each in value.get("calibration", ())
        ],
    )


def _parse_span(span: Any) -> dict[str, Any]:
    values = {name: span["measures"][name] for name in CURVE_MEASURES}
    measures = {name: None if value is None else float(value) for name, value in values.items()}
    return {"from": int(span["from"]), "to": int(span["to"]), "measures": measures}


def _parse_measures(values: Any) -> dict[str, float | None]:
    """Return the measures by name; those of probabilities may be missing."""
    by_name = {name: values[name] for name in LABEL_SET_MEASURES}
    by_name |= {name: values.get(name) for name in PROBABILITY_MEASURES}
    return {name: None if value is None else float(value) for name, value in by_name.items()}


def read_published(pattern: str) -> list[Result]:
    """Return the results of published tables.

    A table is a CSV file in one of two forms. One measure: the file name ends in the measure (``_subset_acc``,
    ``_hamming``, ``_example_f1``, ``_micro_f1``, ``_macro_f1``), with one row per stream and one column per learner.
    Several measures: the columns are the stream, the variant of the learner, and the measures by those names; the
    learner is named ``FILE:VARIANT``.

    A run that did not finish has the worst value of the measure in those tables, or 999999999999, which counts as the
    worst value.

    Parameters
    ----------
    pattern:
        A file, or a pattern of files such as ``mlhat_*.csv``; a pattern skips files of other measures.

    Raises
    ------
    UsageError
        When there is no such file, or it is not such a table.
    """
    paths = [Path(pattern)] if Path(pattern).exists() else sorted(map(Path, glob.glob(pattern)))
    if not paths:
        raise UsageError(f"--published {pattern}: no such file")
    measures_of: dict[tuple[str, str], dict[str, float]] = {}
    for path in paths:
        for learner, stream, measure, value in _read_cells(path, required=len(paths) == 1):
            measures_of.setdefault((learner, stream), {})[measure] = value
    if not measures_of:
        raise UsageError(f"--published {pattern}: no table of {', '.join(PUBLISHED_MEASURES)}")
    return [Result(learner, stream, measures) for (learner, stream), measures in measures_of.items()]


def _read_cells(path: Path, *, required: bool) -> list[tuple[str, str, str, float]]:
    """Return learner, stream, measure and value of each cell; with ``required`` a file without cells is an error."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: not a table: {error}") from None
    file_measure = next((name for name in PUBLISHED_MEASURES if path.stem.endswith(f"_{name}")), None)
    cells = []
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UsageError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
        stream = row[0].lower()
        stream = PUBLISHED_STREAMS.get(stream, stream)
        for name, text in zip(header[1:], row[1:], strict=True):
            if file_measure is not None:
                learner, measure = name, PUBLISHED_MEASURES[file_measure]
            elif name in PUBLISHED_MEASURES:
                learner, measure = f"{path.stem}:{row[1]}", PUBLISHED_MEASURES[name]
            else:
                continue
            try:
                value = float(text)
            except ValueError:
                raise UsageError(f"{path}, line {number}: {text!r} is not a number, in column {name}") from None
            if value >= UNFINISHED:
                value = WORST[measure]
            if not 0.0 <= value <= 1.0:
                raise UsageError(f"{path}, line {number}: {text} is not between 0 and 1, in column {name}")
            cells.append((learner, stream, measure, value))
    if required and not cells:
        raise UsageError(f"{path}: no table of {', '.join(PUBLISHED_MEASURES)}; see `streamlearn compare --help`")
    return cells


def select_streams(results: Sequence[Result], streams: Iterable[str]) -> list[Result]:
    """Return the results on some streams; names match regardless of case and become those of ``streams``."""
    names = {stream.lower(): stream for stream in streams}
    return [
        result._replace(stream=names[result.stream.lower()]) for result in results if result.stream.lower() in names
    ]
