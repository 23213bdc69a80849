"""Opens the stream that a specification names."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from streamlearn.errors import UsageError
from streamlearn.streams.base import Stream
from streamlearn.streams.compression import ENDINGS, remove_ending
from streamlearn.streams.file_kinds import FORMATS

if TYPE_CHECKING:
    from streamlearn.settings.settings import LimitSettings

FILES = f"{' or '.join(FORMATS)}, also compressed ({' '.join(ENDINGS)})"
"""What a file's name ends in, for help and errors."""


def open_stream(
    spec: str,
    *,
    labels: str | None = None,
    seed: int = 0,
    instances: int | None = None,
    text_fields: Container[str] = (),
    limits: LimitSettings | None = None,
) -> Stream:
    """Return the stream that a specification names.

    Parameters
    ----------
    spec:
        A file ``.arff`` or ``.jsonl``, which may be compressed, ``-`` for JSON Lines on standard input, or
        ``synthetic:NAME``.
    labels:
        Which attributes of an ARFF file are labels.
    seed, instances:
        Seed and number of rows of a generator.
    text_fields:
        Names of features in JSON Lines whose texts may have any length.
    limits:
        Limits of the records in JSON Lines.

    Raises
    ------
    UsageError
        When there is no such stream, or ``labels`` does not apply to it.
    """
    ending = Path(remove_ending(spec)).suffix.lower()
    if labels is not None and (ending != ".arff" or spec.startswith("synthetic:")):
        raise UsageError(
            f"--labels {labels}: {spec} has no attributes to choose from; leave --labels out; it is for ARFF files, "
            "and other streams name the labels of each row"
        )
    if spec.startswith("synthetic:"):
        from streamlearn.streams.synthetic import generator

        return generator(spec.removeprefix("synthetic:"), seed=seed, instances=instances)
    if spec == "-" or ending == ".jsonl":
        from streamlearn.streams.jsonl import JsonLinesStream

        if spec != "-" and not Path(spec).exists():
            raise UsageError(f"{spec}: no such file; correct the path")
        return JsonLinesStream(spec, limits, text_fields)
    if ending == ".arff":
        from streamlearn.streams.arff import ArffStream

        return ArffStream(Path(spec), labels)
    formats = " and ".join(f"{name} ({ending})" for ending, name in FORMATS.items())
    raise UsageError(
        f"{spec!r} is not a stream that can be read: files are {formats}, also compressed ({' '.join(ENDINGS)}); "
        "'-' is JSON Lines on standard input, and synthetic:NAME a built-in stream; convert other files, such as "
        "CSV or libsvm, to one of these"
    )
