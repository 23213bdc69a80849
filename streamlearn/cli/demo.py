"""``streamlearn demo``: run the engine on a built-in drifting stream, without a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    instances: Annotated[int, typer.Option("--instances", min=1, help="Number of instances.")] = 12_000,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the generator; equal seeds give equal streams.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Output folder, new or empty; by default ./streamlearn-demo, -2, -3 ...", show_default=False
        ),
    ] = None,
) -> None:
    """Watch the engine predict, learn and detect drift on a built-in stream; no broker is needed.

    Predictions, events and measures are written to a folder whose name is printed at the end. Ctrl-C stops the demo
    early and keeps what was written.
    """
    from streamlearn.cli.demo_run import run_demo

    run_demo(instances, seed, out)
