"""Opens the stream that a specification names."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from streamlearn.errors import UsageError
from streamlearn.streams.base import Stream


def open_stream(
    spec: str,
    *,
    labels: str | None = None,
    seed: int = 0,
    instances: int | None = None,
    text_fields: Container[str] = (),
) -> Stream:
    """Return the stream that a specification names.

    Parameters
    ----------
    spec:
        A file ``.arff``, ``.arff.gz``, ``.jsonl`` or ``.jsonl.gz``, ``-`` for JSON Lines on standard input, or
        ``synthetic:NAME``.
    labels:
        Which attributes of an ARFF file are labels.
    seed, instances:
        Seed and number of rows of a generator.
    text_fields:
        Names of features in JSON Lines whose texts may have any length.

    Raises
    ------
    UsageError
        When there is no such stream.
    """
    if spec.startswith("synthetic:"):
        from streamlearn.streams.synthetic import generator

        return generator(spec.removeprefix("synthetic:"), seed=seed, instances=instances)
    if spec == "-" or spec.endswith((".jsonl", ".jsonl.gz")):
        from streamlearn.streams.jsonl import JsonLinesStream

        if spec != "-" and not Path(spec).exists():
            raise UsageError(f"{spec}: no such file; correct the path")
        return JsonLinesStream(spec, text_fields=text_fields)
    if spec.endswith((".arff", ".arff.gz")):
        from streamlearn.streams.arff import ArffStream

        return ArffStream(Path(spec), labels)
    raise UsageError(
        f"{spec!r} is not a stream: name a file ending in .arff, .arff.gz, .jsonl or .jsonl.gz, "
        "'-' for standard input, or synthetic:NAME"
    )
