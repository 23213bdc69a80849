"""``streamlearn evaluate``: prequential evaluation of a learner on streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamlearn.cleanup import Cleanup
from streamlearn.cli.options import RULE_HELP, STREAM_HELP, Labels, Overrides, given_flags
from streamlearn.cli.output import echo, rich_text


def evaluate(
    streams: Annotated[
        list[str],
        typer.Argument(metavar="STREAM...", help=STREAM_HELP),
    ],
    learner: Annotated[
        str,
        typer.Option(
            "--learner",
            help="streamlearn, or a baseline with its published parameters: br:knn br:nb br:amr br:ht br:hat br:efdt "
            "br:sgt br:mt br:arf br:amf br:abalr br:abolr (binary relevance over river), isoupt (river), vw:oaa vw:plt "
            "(Vowpal Wabbit, extra streamlearn[vw]), majority (most frequent label set), last (label set of the "
            "previous row).",
        ),
    ] = "streamlearn",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Components of the learner: default, fast, or paper (alias ihomer). Sets learner.preset.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option("--rule", help=RULE_HELP, show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of instances per stream.", show_default=False)
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            help="Instances per window (default 1000). Sets measures.window.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Seed of the learner and of generators (default 0). Sets learner.seed.",
            show_default=False,
        ),
    ] = None,
    labels: Labels = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write results as JSON Lines, one object per stream.", show_default=False),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write one prediction record per row as JSON Lines; its id is the row.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Predict, score, then learn every instance of each stream, and print the measures.

    Seconds and rates cover predicting, scoring and learning, but neither compilation nor reading the stream. Options
    override --set, which overrides environment variables (STREAMLEARN_SECTION__KEY).
    """
    import json
    from contextlib import ExitStack

    from streamlearn.cli.output import echo_stream, open_for_writing
    from streamlearn.cli.unused_options import check_outputs, check_overrides
    from streamlearn.codec.encode import encode_prediction
    from streamlearn.errors import UsageError
    from streamlearn.evaluation.baselines import STREAMLEARN, check_learner
    from streamlearn.evaluation.prequential import RowPrediction, evaluate_stream
    from streamlearn.evaluation.report_table import print_reports
    from streamlearn.settings.loading import load_settings
    from streamlearn.streams import StreamRow, open_stream
    from streamlearn.terminal import console

    check_learner(learner)
    for option, value in (("--preset", preset), ("--rule", rule)):
        if value is not None and learner != STREAMLEARN:
            raise UsageError(f"{option} {value}: {learner} has none; leave it out, it is for --learner {STREAMLEARN}")
    flags = given_flags(
        ("--preset", "learner.preset", preset),
        ("--rule", "learner.rule", rule),
        ("--seed", "learner.seed", seed),
        ("--window", "measures.window", window),
    )
    settings = load_settings(None, overrides or (), flags=flags).settings
    check_overrides(overrides or (), [learner])
    check_outputs({"--json": json_file, "--predictions": predictions}, streams)
    learner_settings = settings.learner
    record_rule = learner_settings.rule if learner == STREAMLEARN else learner
    opened = [
        open_stream(
            spec,
            labels=labels,
            seed=learner_settings.seed,
            instances=limit,
            text_fields=settings.encoder.text_fields,
            limits=settings.limits,
        )
        for spec in streams
    ]
    err_console = console(stderr=True)
    reports = []
    # Printed at the end, so that an interrupt or a broken file still shows the finished streams.
    with Cleanup(lambda: print_reports(reports)), ExitStack() as stack:
        lines = stack.enter_context(open_for_writing(json_file)) if json_file is not None else None
        records = stack.enter_context(open_for_writing(predictions)) if predictions is not None else None
        for spec, stream in zip(streams, opened, strict=True):

            def write(prediction: RowPrediction, row: StreamRow, spec: str = spec) -> None:
                if records is not None:
                    records.write(
                        encode_prediction(
                            str(prediction.row),
                            prediction.labels,
                            prediction.scores,
                            record_rule,
                            "",
                            learner_settings.preset,
                            prediction.seen,
                            prediction.learned,
                            spec,
                            0,
                            prediction.row,
                        )
                        + b"\n"
                    )

            echo_stream(stream)
            with err_console.status(rich_text(f"{stream.name}: compiling")) as status:

                def show_progress(count: int, measures: dict[str, float | None], name: str = stream.name) -> None:
                    accuracy = measures["subset_accuracy"]
                    window_text = "" if accuracy is None else f", subset accuracy {accuracy:.3f} in the last window"
                    status.update(rich_text(f"{name}: {count:,} instances{window_text}"))

                report = evaluate_stream(
                    stream, settings, learner=learner, limit=limit, on_progress=show_progress, on_prediction=write
                )
            reports.append(report)
            for remark in report.remarks:
                echo(f"warning: {stream.name}, {learner}: {remark}", err=True)
            if lines is not None:
                lines.write(json.dumps(report.as_json()).encode() + b"\n")
                lines.flush()
