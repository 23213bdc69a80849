"""``streamlearn evaluate``: prequential evaluation of a learner on streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamlearn.cli.options import Overrides


def evaluate(
    streams: Annotated[
        list[str],
        typer.Argument(
            metavar="STREAM...",
            help="A file .arff, .arff.gz, .jsonl or .jsonl.gz, - for JSON Lines on standard input, or synthetic:NAME.",
        ),
    ],
    learner: Annotated[
        str,
        typer.Option(
            "--learner",
            help="streamlearn; or a baseline with its published parameters: br:knn br:nb br:amr br:ht br:hat br:efdt "
            "br:sgt br:mt br:arf br:amf br:abalr br:abolr (binary relevance over river), isoupt (river), vw:oaa vw:plt "
            "(Vowpal Wabbit, extra [vw]), majority (most frequent label set), last (label set of the row before).",
        ),
    ] = "streamlearn",
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Which parts learn: default, fast, or paper (or ihomer). Sets learner.preset.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help="subset (default), hamming, top_k:K or threshold:P. Sets learner.rule.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Instances at most.", show_default=False)] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            help="Instances of a window (default 1000). Sets measures.window.",
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
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Which ARFF attributes are labels: a count (negative: the last), names, or an XML file.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write one JSON object per stream and line.", show_default=False)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", help="Write one prediction record a row; its id is the row.", show_default=False),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Predict, score, then learn every instance of each stream, and print the measures.

    Seconds and rates are those of predicting, scoring and learning, without compiling and without reading the stream.
    Flags go before --set, which goes before the environment (STREAMLEARN_SECTION__KEY).
    """
    import json
    from contextlib import ExitStack

    from rich.console import Console

    from streamlearn.cli.output import opened_to_write
    from streamlearn.codec.encode import encode_prediction
    from streamlearn.evaluation.baselines import OURS, check_learner
    from streamlearn.evaluation.prequential import AnsweredRow, evaluate_stream
    from streamlearn.evaluation.report_table import print_reports
    from streamlearn.settings.loading import load_settings
    from streamlearn.streams import StreamRow, open_stream

    check_learner(learner)
    asked = {"learner.preset": preset, "learner.rule": rule, "learner.seed": seed, "measures.window": window}
    flags = [f"{key}={value}" for key, value in asked.items() if value is not None]
    settings = load_settings(None, [*(overrides or ()), *flags]).settings
    chosen = settings.learner
    texts = settings.encoder.text_fields
    opened = [
        (spec, open_stream(spec, labels=labels, seed=chosen.seed, instances=limit, text_fields=texts))
        for spec in streams
    ]
    console = Console(stderr=True)
    reports = []
    with ExitStack() as stack:
        lines = stack.enter_context(opened_to_write(json_file)) if json_file is not None else None
        records = stack.enter_context(opened_to_write(predictions)) if predictions is not None else None
        # Printed on the way out, so that an interrupt or a broken file still shows what is done.
        stack.callback(lambda: print_reports(reports))
        for spec, stream in opened:

            def write(answer: AnsweredRow, row: StreamRow, spec: str = spec) -> None:
                if records is not None:
                    records.write(
                        encode_prediction(
                            str(answer.row),
                            answer.labels,
                            answer.scores,
                            chosen.rule if learner == OURS else learner,
                            "",
                            chosen.preset,
                            answer.seen,
                            answer.learned,
                            spec,
                            0,
                            answer.row,
                        )
                        + b"\n"
                    )

            with console.status(f"{stream.name}: compiling") as status:

                def show(count: int, measures: dict[str, float | None], name: str = stream.name) -> None:
                    accuracy = measures["subset_accuracy"]
                    shown = "" if accuracy is None else f", subset accuracy {accuracy:.3f} in the last window"
                    status.update(f"{name}: {count:,} instances{shown}")

                report = evaluate_stream(stream, settings, learner=learner, limit=limit, progress=show, answered=write)
            reports.append(report)
            for remark in report.remarks:
                typer.echo(f"{stream.name}, {learner}: {remark}", err=True)
            if lines is not None:
                lines.write(json.dumps(report.as_json()).encode() + b"\n")
                lines.flush()
