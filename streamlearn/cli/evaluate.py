"""``streamlearn evaluate``: prequential evaluation of a learner on streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    streams: Annotated[
        list[str],
        typer.Argument(
            metavar="STREAM...",
            help="A file .arff, .arff.gz, .jsonl or .jsonl.gz, - for JSON Lines on standard input, or synthetic:NAME.",
        ),
    ],
    learner: Annotated[str, typer.Option("--learner", help="streamlearn, majority or last.")] = "streamlearn",
    preset: Annotated[str, typer.Option("--preset", help="Which parts learn: default.")] = "default",
    rule: Annotated[str, typer.Option("--rule", help="subset, hamming, top_k:K or threshold:P.")] = "subset",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Instances at most.", show_default=False)] = None,
    window: Annotated[int, typer.Option("--window", min=1, help="Instances of a window.")] = 1_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the learner and of generators.")] = 0,
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
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another setting, section.key=value; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Predict, score, then learn every instance of each stream, and print the measures.

    Seconds and rates are those of predicting, scoring and learning, without compiling and without reading the stream.
    """
    import json
    from contextlib import ExitStack

    from rich.console import Console

    from streamlearn.codec.encode import encode_prediction
    from streamlearn.evaluation.baselines import baseline
    from streamlearn.evaluation.prequential import AnsweredRow, evaluate_stream
    from streamlearn.evaluation.table import report_table
    from streamlearn.settings.sources import load_settings
    from streamlearn.streams import StreamRow, open_stream

    if learner != "streamlearn":
        baseline(learner)
    settings = load_settings(
        None,
        [
            *(overrides or ()),
            f"learner.preset={preset}",
            f"learner.rule={rule}",
            f"learner.seed={seed}",
            f"measures.window={window}",
        ],
    ).settings
    opened = [(spec, open_stream(spec, labels=labels, seed=seed)) for spec in streams]
    console = Console(stderr=True)
    reports = []
    with ExitStack() as stack:
        lines = stack.enter_context(json_file.open("w", encoding="utf-8")) if json_file is not None else None
        records = stack.enter_context(predictions.open("wb")) if predictions is not None else None
        for spec, stream in opened:

            def write(answer: AnsweredRow, row: StreamRow, spec: str = spec) -> None:
                if records is not None:
                    records.write(
                        encode_prediction(
                            str(answer.row),
                            answer.labels,
                            answer.scores,
                            rule,
                            "",
                            preset,
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
            if lines is not None:
                lines.write(json.dumps(report.as_json()) + "\n")
                lines.flush()
    Console().print(report_table(reports))
