"""``streamlearn generate``: write a built-in stream as JSON Lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamlearn.cli.output import echo


def generate(
    name: Annotated[
        str,
        typer.Argument(
            help="drifting, gradual, stationary; from the meta-label generator: meta (stationary), meta-labels (labels "
            "appear and retire), and meta-WHAT-HOW, where WHAT is features, dependencies or priors, and HOW is sudden, "
            "gradual or recurring."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Output file, .jsonl or .jsonl.gz (.bz2, .xz); - for standard output.")
    ],
    instances: Annotated[int, typer.Option("--instances", min=1, help="Number of instances.")] = 12_000,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the generator; equal seeds give equal streams.")
    ] = 0,
) -> None:
    """Write a built-in stream with known drift as JSON Lines, one instance record per line."""
    import sys
    from contextlib import nullcontext

    import msgspec

    from streamlearn.cli.output import open_for_writing
    from streamlearn.errors import UsageError
    from streamlearn.streams.compression import remove_ending
    from streamlearn.streams.synthetic import generator

    ending = Path(remove_ending(out.name)).suffix.lower()
    if ending not in ("", ".jsonl"):
        raise UsageError(f"--out {out}: what is written is JSON Lines; give a name that ends in .jsonl, or none")
    stream = generator(name.removeprefix("synthetic:"), seed=seed, instances=instances)
    encode = msgspec.json.Encoder().encode
    with nullcontext(sys.stdout.buffer) if str(out) == "-" else open_for_writing(out) as file:
        for row in stream:
            file.write(encode({"id": row.id, "x": row.x, "y": row.y}) + b"\n")
    known = ", ".join(f"{drift.what} at row {drift.row}" for drift in stream.drifts) or "none"
    echo(f"{instances} instances of {name}, seed {seed}; drift: {known}", err=True)
