"""``streamlearn compare``: several learners on several streams, with ranks, tests and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlearn.cli.options import Overrides

if TYPE_CHECKING:
    from streamlearn.evaluation.prequential import Report
    from streamlearn.settings.settings import Settings


def compare(
    streams: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STREAM]...", help="A file .arff[.gz] or .jsonl[.gz], or synthetic:NAME."),
    ] = None,
    learners: Annotated[
        list[str] | None,
        typer.Option(
            "--learner",
            help="May be repeated: every name of evaluate --learner; ours also as streamlearn:RULE, streamlearn:PRESET "
            "and streamlearn:PRESET:RULE.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results",
            help="Results that evaluate --json or compare --json wrote; what stands there is not run again. May be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(
            "--published",
            metavar="FILE",
            help="Published table (CSV: a row a stream, a column a learner; the file's name ends in _subset_acc, "
            "_hamming, _example_f1, _micro_f1 or _macro_f1), or a quoted pattern such as 'published/mlhat_*.csv'. May "
            "be repeated.",
            show_default=False,
        ),
    ] = None,
    own_rules: Annotated[
        bool,
        typer.Option(
            "--own-rules",
            help="Put our learner's rules together as one: subset accuracy by subset, Hamming loss by hamming, example "
            "F1 and Jaccard by f1, micro F1 by balanced, macro F1 by macro.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write one JSON object per stream, learner and line.", show_default=False),
    ] = None,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write an HTML page with tables and plots (extra [report]).", show_default=False),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Instances at most.", show_default=False)] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Instances of a window (default 1000).", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of learners and generators (default 0).", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Which ARFF attributes are labels, as for evaluate.", show_default=False),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Rank learners over streams: means, mean ranks, Friedman test and Nemenyi critical difference.

    Runs every learner on every stream as evaluate does, or reads results. A measure is ranked over the streams on which
    every learner has a value; rank 1 is the best. A learner of another library that fails on a stream has no result
    there. Published figures count for the streams that are compared.
    """
    import json

    from rich.console import Console

    from streamlearn.cli.output import opened_to_write
    from streamlearn.errors import LearnerError, UsageError
    from streamlearn.evaluation.comparison_table import print_rankings
    from streamlearn.evaluation.prequential import evaluate_stream
    from streamlearn.evaluation.ranking import rankings
    from streamlearn.evaluation.report import Comparison, check_plots, html_report
    from streamlearn.evaluation.results import (
        by_own_rules,
        learner_name,
        read_published,
        read_reports,
        results_of,
        same_streams,
    )
    from streamlearn.streams import open_stream

    if bool(streams) != bool(learners):
        raise UsageError("compare: name both streams and learners (STREAM... --learner NAME), or only --results")
    if "-" in (streams or ()):
        raise UsageError("compare: standard input can be read only once; write it to a file first")
    if published and limit is not None:
        raise UsageError("compare: published figures are those of whole streams; leave --limit out")
    if report_file is not None:
        check_plots()
    asked = {"measures.window": window, "learner.seed": seed}
    flags = [*(overrides or ()), *(f"{key}={value}" for key, value in asked.items() if value is not None)]
    runs = [_chosen(name, flags) for name in dict.fromkeys(learners or ())]
    outside = [result for pattern in published or () for result in read_published(pattern)]
    reports = [report for path in results or () for report in read_reports(path)]
    results_of(reports)
    texts = {name for _, settings, _ in runs for name in settings.encoder.text_fields}
    opened = [
        open_stream(spec, labels=labels, seed=runs[0][1].learner.seed, instances=limit, text_fields=texts)
        for spec in dict.fromkeys(streams or ())
    ]
    done = {(report.stream, learner_name(report), report.seed) for report in reports}
    console = Console(stderr=True)
    lines = opened_to_write(json_file) if json_file is not None else None

    def keep(report: Report) -> None:
        if lines is not None:
            lines.write(json.dumps(_with_alarms(report)).encode() + b"\n")
            lines.flush()

    try:
        for report in reports:
            keep(report)
        for stream in opened:
            for learner, settings, name in runs:
                if (stream.name, name, settings.learner.seed) in done:
                    typer.echo(f"{stream.name}, {name}: taken from --results", err=True)
                    continue
                with console.status(f"{stream.name}, {name}: compiling") as status:

                    def show(count: int, _: Any, text: str = f"{stream.name}, {name}") -> None:
                        status.update(f"{text}: {count:,} instances")

                    try:
                        report = evaluate_stream(stream, settings, learner=learner, limit=limit, progress=show)
                    except LearnerError as error:
                        typer.echo(f"{stream.name}: no result: {error}", err=True)
                        continue
                typer.echo(f"{stream.name}, {name}: {report.seconds:.1f} s", err=True)
                reports.append(report)
                keep(report)
    finally:
        if lines is not None:
            lines.close()
    own = results_of(reports)
    if own_rules:
        own = by_own_rules(own)
    compared = [*own, *(same_streams(outside, dict.fromkeys(result.stream for result in own)) if own else outside)]
    ranked = rankings(compared)
    if not ranked:
        raise UsageError("compare: there are no two learners with a stream in common")
    print_rankings(ranked, len({result.stream for result in compared}))
    if report_file is not None:
        page = html_report(Comparison(compared, ranked, reports)).encode()
        with opened_to_write(report_file) as file:
            file.write(page)


def _chosen(text: str, flags: Sequence[str]) -> tuple[str, Settings, str]:
    """Return the learner, its settings and the name that its results have."""
    from typing import get_args

    from streamlearn.evaluation.baselines import OURS, check_learner
    from streamlearn.evaluation.results import named
    from streamlearn.settings.loading import load_settings
    from streamlearn.settings.presets import ALIASES
    from streamlearn.settings.settings import LearnerSettings

    own, colon, rest = text.partition(":")
    if own != OURS:
        check_learner(text)
        return text, load_settings(None, flags).settings, text
    preset, second, rule = rest.partition(":")
    if preset not in {*get_args(LearnerSettings.model_fields["preset"].annotation), *ALIASES}:
        preset, second, rule = "", colon, rest
    chosen = [f"learner.preset={preset}"] * bool(preset) + [f"learner.rule={rule}"] * bool(second)
    settings = load_settings(None, [*flags, *chosen]).settings
    return OURS, settings, named(OURS, settings.learner.preset, settings.learner.rule)


def _with_alarms(report: Report) -> dict[str, Any]:
    return report.as_json() | ({"alarms": list(report.alarms)} if report.alarms else {})
