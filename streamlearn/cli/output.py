"""Output of commands: text for the terminal, lines about streams, and files."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import typer

from streamlearn.errors import UsageError
from streamlearn.printable import printable
from streamlearn.streams.compression import ENDINGS, compression_of

if TYPE_CHECKING:
    from rich.text import Text

    from streamlearn.streams import Stream

LABELS_SHOWN = 10


def echo(text: str, *, err: bool = False) -> None:
    """Print one line on standard output or standard error, with control characters escaped."""
    typer.echo(printable(text), err=err)


def echo_json(value: Any) -> None:
    """Print a value as JSON, indented, on standard output, with control characters escaped."""
    typer.echo(printable(json.dumps(value, indent=2, ensure_ascii=False, default=list), keep="\n"))


def echo_traceback(error: BaseException) -> None:
    """Print the traceback of an error on standard error, with control characters escaped."""
    typer.echo(printable("".join(traceback.format_exception(error)), keep="\n"), err=True, nl=False)


def rich_text(text: str) -> Text:
    """Return a text for Rich: control characters are escaped, and nothing in it is markup."""
    from rich.text import Text

    return Text(printable(text))


def open_for_writing(path: Path, *, new: bool = False) -> BinaryIO:
    """Open a file for writing bytes and truncate it; the end of the name says how it is compressed.

    Raises
    ------
    UsageError
        When the file cannot be written, or with ``new`` when it exists.
    """
    mode = "xb" if new else "wb"
    try:
        opener = ENDINGS.get(compression_of(path.name))
        return cast(BinaryIO, opener(path, mode)) if opener else cast(BinaryIO, path.open(mode))
    except FileExistsError:
        raise UsageError(f"{path} exists: give another file, or remove it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None


def echo_stream(stream: Stream) -> None:
    """Print on standard error which labels a stream has, and what in its declarations may be a mistake."""
    echo(describe_labels(stream), err=True)
    for warning in stream.warnings:
        echo(f"warning: {warning}", err=True)


def describe_labels(stream: Stream) -> str:
    """Return a line that says which labels a stream has, from where, and which features are texts."""
    if stream.labels:
        more = ", ..." if len(stream.labels) > LABELS_SHOWN else ""
        names = ", ".join(stream.labels[:LABELS_SHOWN])
        count = f"{len(stream.labels):,} label{'s' if len(stream.labels) > 1 else ''}"
        text = f"{stream.name}: {count} from {stream.labels_from}: {names}{more}"
    else:
        text = f"{stream.name}: labels from {stream.labels_from}, as they occur"
    return text + (f"; texts: {', '.join(stream.texts)}" if stream.texts else "")
