"""Results of learners on streams: those of our own runs, and published tables."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.catalogue import OURS
from streamlearn.evaluation.calibration import NAMES as OF_PROBABILITIES
from streamlearn.evaluation.prequential import Report
from streamlearn.model.measures import NAMES

PUBLISHED_MEASURES = {
    "subset_acc": "subset_accuracy",
    "hamming": "hamming_loss",
    "example_f1": "example_f1",
    "micro_f1": "micro_f1",
    "macro_f1": "macro_f1",
}
"""From the names that published tables use to ours."""

UNFINISHED = 1e9
"""Published tables have such a large number where a run did not finish; or the measure's worst value."""

WORST = dict.fromkeys(PUBLISHED_MEASURES.values(), 0.0) | {"hamming_loss": 1.0}
"""What a run that did not finish counts as."""

PUBLISHED_STREAMS = {"tmc": "tmc2007", "d20ng": "ng20"}
"""Streams that published tables call by another name, in lower case."""


OWN_RULES = {
    "subset_accuracy": "subset",
    "hamming_loss": "hamming",
    "example_f1": "f1",
    "example_jaccard": "f1",
    "micro_f1": "balanced",
    "macro_f1": "macro",
}
"""The rule that is made for each measure, or comes nearest to it."""

BY_OWN_RULES = "own-rules"
"""In place of a rule in a learner's name: each measure by its own."""


class Result(NamedTuple):
    """What a learner reached on a stream: measures by name."""

    learner: str
    stream: str
    measures: dict[str, float]


def named(learner: str, preset: str, rule: str) -> str:
    """Return the name that a learner's results have: ``streamlearn:RULE`` or ``streamlearn:PRESET:RULE`` for ours."""
    if learner != OURS:
        return learner
    return f"{OURS}:{rule}" if preset == "default" else f"{OURS}:{preset}:{rule}"


def learner_name(report: Report) -> str:
    """Return the name that a report's results have."""
    return named(report.learner, report.preset, report.rule)


def results_of(reports: Iterable[Report]) -> list[Result]:
    """Return the results of reports.

    Raises
    ------
    UsageError
        When a stream was run with different numbers of instances, or a learner twice on it.
    """
    instances: dict[str, int] = {}
    found: dict[tuple[str, str], Result] = {}
    for report in reports:
        name = learner_name(report)
        if instances.setdefault(report.stream, report.instances) != report.instances:
            raise UsageError(
                f"{report.stream}: {name} has {report.instances:,} instances, another learner "
                f"{instances[report.stream]:,}; results compare only over the same rows (--limit)"
            )
        if (name, report.stream) in found:
            raise UsageError(f"{report.stream}: there are two results of {name}; keep one")
        measures = {measure: value for measure, value in report.measures.items() if value is not None}
        found[name, report.stream] = Result(name, report.stream, measures)
    return list(found.values())


def by_own_rules(results: Iterable[Result]) -> list[Result]:
    """Return the results with our learner's rules put together, each measure by the rule made for it.

    Raises
    ------
    UsageError
        When a stream lacks the result of one of the rules.
    """
    found: list[Result] = []
    rules: dict[tuple[str, str], dict[str, Result]] = {}
    for result in results:
        start, colon, rule = result.learner.rpartition(":")
        if colon and start.partition(":")[0] == OURS and rule in OWN_RULES.values():
            rules.setdefault((start, result.stream), {})[rule] = result
        else:
            found.append(result)
    for (start, stream), of_rule in rules.items():
        missing = [rule for rule in dict.fromkeys(OWN_RULES.values()) if rule not in of_rule]
        if missing:
            raise UsageError(f"{stream}: --own-rules needs {', '.join(f'{start}:{rule}' for rule in missing)} as well")
        measures = {
            measure: of_rule[rule].measures[measure]
            for measure, rule in OWN_RULES.items()
            if measure in of_rule[rule].measures
        }
        found.append(Result(f"{start}:{BY_OWN_RULES}", stream, measures))
    return found


def read_reports(path: Path) -> list[Report]:
    """Return the reports of a file that ``evaluate --json`` or ``compare --json`` wrote.

    Raises
    ------
    UsageError
        When it cannot be read, with its line.
    """
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_report(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
                raise UsageError(
                    f"{path}, line {number}: not a result of `streamlearn evaluate --json`: {reason}"
                ) from None
    return found


def _report(value: Any) -> Report:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    measures = _measures(value["measures"])
    windows = [
        {"from": int(each["from"]), "to": int(each["to"]), "measures": _measures(each["measures"])}
        for each in value["windows"]
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
        remarks=[str(each) for each in value.get("remarks", ())],
        alarms=[int(each) for each in value.get("alarms", ())],
    )


def _measures(value: Any) -> dict[str, float | None]:
    found = {name: value[name] for name in NAMES} | {name: value.get(name) for name in OF_PROBABILITIES}
    return {name: None if each is None else float(each) for name, each in found.items()}


def read_published(pattern: str) -> list[Result]:
    """Return the results of published tables.

    A table is a CSV file of one of two kinds. One measure: the file's name ends in the measure (``_subset_acc``,
    ``_hamming``, ``_example_f1``, ``_micro_f1``, ``_macro_f1``), a row is a stream, and every column a learner. Several
    measures: the columns are the stream, the learner's variant, and the measures by those names; the learner is called
    by the file's name and the variant.

    A run that did not finish stands in those tables with the worst value of the measure, or with 999999999999, which
    counts as the worst value.

    Parameters
    ----------
    pattern:
        A file, or a pattern of files such as ``mlhat_*.csv``; files of other measures are passed over in a pattern.

    Raises
    ------
    UsageError
        When there is no such file, or it is no such table.
    """
    paths = [Path(pattern)] if Path(pattern).exists() else sorted(map(Path, glob.glob(pattern)))
    if not paths:
        raise UsageError(f"--published {pattern}: no such file")
    merged: dict[tuple[str, str], dict[str, float]] = {}
    for path in paths:
        for learner, stream, measure, value in _cells(path, required=len(paths) == 1):
            merged.setdefault((learner, stream), {})[measure] = value
    if not merged:
        raise UsageError(f"--published {pattern}: no table of {', '.join(PUBLISHED_MEASURES)}")
    return [Result(learner, stream, measures) for (learner, stream), measures in merged.items()]


def _cells(path: Path, *, required: bool) -> list[tuple[str, str, str, float]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: not a table: {error}") from None
    own = next((name for name in PUBLISHED_MEASURES if path.stem.endswith(f"_{name}")), None)
    found = []
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UsageError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
        stream = row[0].lower()
        stream = PUBLISHED_STREAMS.get(stream, stream)
        for name, text in zip(header[1:], row[1:], strict=True):
            if own is not None:
                learner, measure = name, PUBLISHED_MEASURES[own]
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
            found.append((learner, stream, measure, value))
    if required and not found:
        raise UsageError(f"{path}: no table of {', '.join(PUBLISHED_MEASURES)}; see `streamlearn compare --help`")
    return found


def same_streams(results: Sequence[Result], streams: Iterable[str]) -> list[Result]:
    """Return the results on some streams; a stream's name is compared in lower case, and comes back as given."""
    wanted = {stream.lower(): stream for stream in streams}
    return [
        result._replace(stream=wanted[result.stream.lower()]) for result in results if result.stream.lower() in wanted
    ]
