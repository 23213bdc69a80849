"""``streamlearn demo``: the engine on a built-in drifting stream, without a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    instances: Annotated[int, typer.Option("--instances", min=1, help="How many instances.")] = 12_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Equal seeds give equal streams.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder to write, new or empty; else ./streamlearn-demo, -2, -3 ...", show_default=False
        ),
    ] = None,
) -> None:
    """DriftDetectors the engine answer, learn and find drift on a built-in stream; no broker is needed.

    Answers, events and measures are kept in a folder that is named at the end. Ctrl-C ends it early and keeps what is
    done.
    """
    from streamlearn.cli.demo_run import run_demo

    run_demo(instances, seed, out)
