"""``streamlearn compare``: rank learners over streams, with significance tests and a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from streamlearn.cleanup import Cleanup
from streamlearn.cli.options import STREAM_HELP, Labels, Overrides, given_flags
from streamlearn.cli.output import echo, rich_text

if TYPE_CHECKING:
    from streamlearn.evaluation.prequential import Report
    from streamlearn.settings.loading import Flag
    from streamlearn.settings.settings import Settings


def compare(
    streams: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STREAM]...", help=STREAM_HELP.replace(" - for JSON Lines from standard input,", "")),
    ] = None,
    learners: Annotated[
        list[str] | None,
        typer.Option(
            "--learner",
            help="Learner to compare, named as in evaluate --learner; also streamlearn:RULE, streamlearn:PRESET and "
            "streamlearn:PRESET:RULE. May be repeated.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results",
            help="File with results of evaluate --json or compare --json; these are not run again. May be repeated.",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(
            "--published",
            metavar="FILE",
            help="Published table (CSV: one row per stream, one column per learner; the file name ends in _subset_acc, "
            "_hamming, _example_f1, _micro_f1 or _macro_f1), or a quoted pattern such as 'published/mlhat_*.csv'. May "
            "be repeated.",
            show_default=False,
        ),
    ] = None,
    own_rules: Annotated[
        bool,
        typer.Option(
            "--own-rules",
            help="Combine the rules of streamlearn into one learner with the matching rule for each measure: subset "
            "accuracy by subset, Hamming loss by hamming, example F1 and Jaccard by f1, micro F1 by balanced, macro F1 "
            "by macro.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write results as JSON Lines, one object per stream and learner.", show_default=False
        ),
    ] = None,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write an HTML page with tables and plots (extra report).", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of instances per stream.", show_default=False)
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Instances per window (default 1000).", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of learners and generators (default 0).", show_default=False),
    ] = None,
    labels: Labels = None,
    overrides: Overrides = None,
) -> None:
    """Rank learners over streams: means, mean ranks, Friedman test and Nemenyi critical difference.

    Runs every learner on every stream as evaluate does, or reads results. A measure is ranked over the streams on which
    every learner has a value; rank 1 is the best. A learner of another library that fails on a stream has no result
    for it. Published results are used only for the streams that are compared.
    """
    import json
    import shlex
    import sys

    from streamlearn.cli.output import echo_stream, open_for_writing
    from streamlearn.cli.unused_options import check_outputs, check_overrides
    from streamlearn.errors import LearnerError, UsageError
    from streamlearn.evaluation.comparison_table import print_rankings
    from streamlearn.evaluation.prequential import evaluate_stream
    from streamlearn.evaluation.ranking import rankings
    from streamlearn.evaluation.report import Comparison, check_plots, html_report
    from streamlearn.evaluation.results import (
        combine_own_rules,
        learner_name,
        read_published,
        read_reports,
        results_from_reports,
        select_streams,
    )
    from streamlearn.streams import open_stream
    from streamlearn.terminal import console

    if bool(streams) != bool(learners):
        raise UsageError("compare: give both streams and learners (STREAM... --learner NAME), or only --results")
    if "-" in (streams or ()):
        raise UsageError("compare: standard input can be read only once; write it to a file first")
    unused = {"--limit": limit, "--window": window, "--seed": seed, "--labels": labels, "--set": overrides}
    for option, value in unused.items():
        if value is not None and not streams:
            raise UsageError(f"compare: {option} is for streams that are run, and none is given; leave it out")
    if published and limit is not None:
        raise UsageError("compare: published results are for whole streams; leave out --limit")
    if report_file is not None:
        check_plots()
    flags = given_flags(("--window", "measures.window", window), ("--seed", "learner.seed", seed))
    runs = [parse_learner(text, overrides or (), flags) for text in dict.fromkeys(learners or ())]
    check_overrides(overrides or (), [run.learner for run in runs])
    check_outputs({"--json": json_file, "--report": report_file}, streams or ())
    published_results = [result for pattern in published or () for result in read_published(pattern)]
    reports = [report for path in results or () for report in read_reports(path)]
    results_from_reports(reports)  # refuses reports that cannot be compared, before anything runs
    _check_learners(
        [*(run.name for run in runs), *map(learner_name, reports)],
        [one.learner for one in published_results],
        own_rules,
    )
    text_fields = {name for run in runs for name in run.settings.encoder.text_fields}
    opened = [
        open_stream(
            spec,
            labels=labels,
            seed=runs[0].settings.learner.seed,
            instances=limit,
            text_fields=text_fields,
            limits=runs[0].settings.limits,
        )
        for spec in dict.fromkeys(streams or ())
    ]
    done = {(report.stream, learner_name(report), report.seed) for report in reports}
    err_console = console(stderr=True)
    lines = open_for_writing(json_file) if json_file is not None else None

    def write(report: Report) -> None:
        if lines is not None:
            lines.write(json.dumps(_report_as_json(report)).encode() + b"\n")
            lines.flush()

    with Cleanup(lambda: None if lines is None else lines.close()):
        for report in reports:
            write(report)
        for stream in opened:
            echo_stream(stream)
            for learner, settings, name in runs:
                if (stream.name, name, settings.learner.seed) in done:
                    echo(f"{stream.name}, {name}: taken from --results", err=True)
                    continue
                with err_console.status(rich_text(f"{stream.name}, {name}: compiling")) as status:

                    def show_progress(count: int, _: Any, text: str = f"{stream.name}, {name}") -> None:
                        status.update(rich_text(f"{text}: {count:,} instances"))

                    try:
                        report = evaluate_stream(
                            stream, settings, learner=learner, limit=limit, on_progress=show_progress
                        )
                    except LearnerError as error:
                        echo(f"{stream.name}: no result: {error}", err=True)
                        continue
                echo(f"{stream.name}, {name}: {report.seconds:.1f} s", err=True)
                for remark in report.remarks:
                    echo(f"warning: {stream.name}, {name}: {remark}", err=True)
                reports.append(report)
                write(report)
    compared = results_from_reports(reports)
    if own_rules:
        compared = combine_own_rules(compared)
    if compared:
        published_results = select_streams(published_results, dict.fromkeys(result.stream for result in compared))
    compared += published_results
    table = rankings(compared)
    if not table:
        raise UsageError("compare: no two learners have a stream in common")
    print_rankings(table, len({result.stream for result in compared}))
    if report_file is not None:
        command = shlex.join(["streamlearn", *sys.argv[1:]])
        page = html_report(Comparison(compared, table, reports, command)).encode()
        with open_for_writing(report_file) as file:
            file.write(page)


def _check_learners(own: Sequence[str], published: Sequence[str], own_rules: bool) -> None:
    """Check, before anything runs, that there is something to compare.

    Raises
    ------
    UsageError
        When all results are of one learner, or ``--own-rules`` has no rules to combine.
    """
    from streamlearn.errors import UsageError
    from streamlearn.evaluation.baselines import STREAMLEARN

    if own_rules and not any(name.startswith(f"{STREAMLEARN}:") for name in own):
        raise UsageError(f"compare: --own-rules is for learners {STREAMLEARN}:RULE, and none is given; leave it out")
    names = list(dict.fromkeys([*own, *published]))
    if len(names) < 2:
        given = f"only {names[0]} is" if names else "none is"
        raise UsageError(
            f"compare: two learners or more are compared, and {given} given; add --learner, --results or --published"
        )


class LearnerRun(NamedTuple):
    """A learner to run, its settings, and the name of its results."""

    learner: str
    settings: Settings
    name: str


def parse_learner(text: str, overrides: Sequence[str], flags: Sequence[Flag] = ()) -> LearnerRun:
    """Return the run that a ``--learner`` text asks for.

    Parameters
    ----------
    text:
        The name of a baseline, ``streamlearn``, ``streamlearn:RULE``, ``streamlearn:PRESET`` or
        ``streamlearn:PRESET:RULE``.
    overrides, flags:
        Settings as in `load_settings`; preset and rule of the text override them.

    Raises
    ------
    UsageError
        When there is no such learner, preset or rule.
    """
    from typing import get_args

    from streamlearn.evaluation.baselines import STREAMLEARN, check_learner
    from streamlearn.evaluation.results import result_name
    from streamlearn.settings.loading import load_settings
    from streamlearn.settings.presets import ALIASES
    from streamlearn.settings.settings import LearnerSettings

    learner, first_colon, rest = text.partition(":")
    if learner != STREAMLEARN:
        check_learner(text)
        return LearnerRun(text, load_settings(None, overrides, flags=flags).settings, text)
    preset, second_colon, rule = rest.partition(":")
    if preset not in {*get_args(LearnerSettings.model_fields["preset"].annotation), *ALIASES}:
        preset, second_colon, rule = "", first_colon, rest
    of_text = given_flags(
        (f"--learner {text}", "learner.preset", preset or None),
        (f"--learner {text}", "learner.rule", rule if second_colon else None),
    )
    settings = load_settings(None, overrides, flags=[*flags, *of_text]).settings
    return LearnerRun(STREAMLEARN, settings, result_name(STREAMLEARN, settings.learner.preset, settings.learner.rule))


def _report_as_json(report: Report) -> dict[str, Any]:
    """Return a report as plain values, with its alarms if it has any."""
    return report.as_json() | ({"alarms": list(report.alarms)} if report.alarms else {})
