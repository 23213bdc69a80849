"""``streamlearn dead-letters``: what could not be used and why, and another chance for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlearn.cli.options import Config, Overrides
from streamlearn.cli.time_options import moment_of, time_of
from streamlearn.errors import UsageError
from streamlearn.records.dead_letter import original_headers

if TYPE_CHECKING:
    from streamlearn.kafka.dead_letter_reader import DeadLetterFilter, DeadLetterReader
    from streamlearn.records.dead_letter import DeadLetterRecord
    from streamlearn.settings.settings import Settings

app = typer.Typer(
    name="dead-letters",
    help="List, show, export and replay records that could not be used.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Only with this reason; may be repeated.", show_default=False)
]
Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only from this topic; may be repeated.", show_default=False)
]
Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", help="Only from this partition of it; may be repeated.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Only refused at this time or later: 2026-01-31T12:00, UTC unless it says.", show_default=False
    ),
]
Until = Annotated[str | None, typer.Option("--until", help="Only refused before this time.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]


@app.command("list")
def list_letters(
    config: Config = None,
    overrides: Overrides = None,
    reasons: Reasons = None,
    topics: Topics = None,
    partitions: Partitions = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, one a line, and how many there are of each reason."""
    reader = _reader(_settings(config, overrides))
    counts: Counter[str] = Counter()
    try:
        for letter in reader.read(_wanted(reasons, topics, partitions, since, until)):
            counts[letter.about.reason] += 1
            typer.echo(_json(letter, whole=False) if as_json else _line(letter))
    finally:
        reader.close()
    if not as_json:
        _echo_counts(counts, reader.foreign)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PARTITION@OFFSET", help="The letter, as `list` names it.")],
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Show one dead letter: what was wrong, and the record as it was."""
    partition, at, offset = name.partition("@")
    if not (at and partition.isdigit() and offset.isdigit()):
        raise UsageError(f"{name!r} is no name of a dead letter: write PARTITION@OFFSET, as `dead-letters list` does")
    reader = _reader(_settings(config, overrides))
    try:
        letter = reader.find(int(partition), int(offset))
        original = reader.original(letter) if letter.about.pointer else letter
    finally:
        reader.close()
    about = letter.about
    typer.echo(f"refused    {time_of(letter.timestamp_ms)} by release {about.version}: {about.reason}")
    typer.echo(f"because    {about.text}")
    typer.echo(f"record     {about.topic}[{about.partition}]@{about.offset} of {time_of(about.timestamp)}")
    typer.echo(f"replayed   {about.replayed} times before")
    if original is None:
        typer.echo("value      the letter only points to it, and the log no longer has it, or cannot read it")
        return
    typer.echo(f"key        {_shown(original.key)}")
    for header, value in original_headers(original.headers):
        typer.echo(f"header     {header} = {_shown(value)}")
    typer.echo(f"value      {_shown(original.value)}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write, JSON Lines; it must not exist.")],
    config: Config = None,
    overrides: Overrides = None,
    reasons: Reasons = None,
    topics: Topics = None,
    partitions: Partitions = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write dead letters to a file, with their bytes in base64."""
    reader = _reader(_settings(config, overrides))
    count = 0
    try:
        with file.open("x", encoding="utf-8") as out:
            for letter in reader.read(_wanted(reasons, topics, partitions, since, until)):
                out.write(_json(letter, whole=True) + "\n")
                count += 1
    except FileExistsError:
        raise UsageError(f"{file} exists: name another file, or remove it") from None
    finally:
        reader.close()
    typer.echo(f"{count:,} dead letters to {file}")


@app.command()
def replay(
    config: Config = None,
    overrides: Overrides = None,
    reasons: Reasons = None,
    topics: Topics = None,
    partitions: Partitions = None,
    since: Since = None,
    until: Until = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were refused after a replay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send; without it, only say what would be sent.")] = False,
) -> None:
    """Send the original bytes of dead letters to the topics that they came from, as new records.

    Once what was wrong is mended: a producer's records stay as wrong as they were. A record gets the header
    streamlearn.replayed; one that is refused again is replayed only with --again.
    """
    from streamlearn.kafka.dead_letter_replayer import DeadLetterReplayer

    settings = _settings(config, overrides)
    wanted = _wanted(reasons, topics, partitions, since, until)
    inputs = {settings.topics.instances, settings.topics.labels}
    reader = _reader(settings)
    counts: Counter[str] = Counter()
    left: Counter[str] = Counter()
    sender = originals = None
    try:
        sender = DeadLetterReplayer(settings) if yes else None
        for letter in reader.read(wanted):
            record: Any = letter
            if letter.about.topic not in inputs:
                left[f"from {letter.about.topic}, which is no input of these settings"] += 1
                continue
            if letter.about.replayed and not again:
                left["refused after a replay; --again sends them once more"] += 1
                continue
            if letter.about.pointer:
                originals = originals or _reader(settings)
                record = originals.original(letter)
                if record is None:
                    left["whose original the log no longer has, or cannot read"] += 1
                    continue
            counts[letter.about.reason] += 1
            if sender is not None:
                sender.send(letter, record.key, record.value, record.headers)
        if sender is not None:
            sender.finish()
    finally:
        for open_one in (reader, originals, sender):
            if open_one is not None:
                open_one.close()
    _echo_counts(counts, reader.foreign)
    for why, count in sorted(left.items()):
        typer.echo(f"left out: {count:,} {why}")
    typer.echo("sent" if yes else "nothing was sent; --yes sends them")


def _settings(config: Path | None, overrides: list[str] | None) -> Settings:
    from streamlearn.settings.loading import load_settings

    return load_settings(config, overrides or ()).settings


def _reader(settings: Settings) -> DeadLetterReader:
    from streamlearn.kafka.dead_letter_reader import DeadLetterReader

    return DeadLetterReader(settings)


def _wanted(
    reasons: list[str] | None,
    topics: list[str] | None,
    partitions: list[int] | None,
    since: str | None,
    until: str | None,
) -> DeadLetterFilter:
    from streamlearn.kafka.dead_letter_reader import DeadLetterFilter

    return DeadLetterFilter(
        frozenset(reasons or ()),
        frozenset(topics or ()),
        frozenset(partitions or ()),
        moment_of("--since", since),
        moment_of("--until", until),
    )


def _shown(data: bytes | None) -> str:
    return "none" if data is None else data.decode("utf-8", "backslashreplace")


def _line(letter: DeadLetterRecord) -> str:
    about = letter.about
    where = f"{about.topic}[{about.partition}]@{about.offset}"
    return f"{letter.name:<10} {time_of(letter.timestamp_ms)}  {about.reason:<17} {where}  {about.text}"


def _json(letter: DeadLetterRecord, *, whole: bool) -> str:
    import json
    from base64 import b64encode

    found: dict[str, Any] = {
        "letter": letter.name,
        "refused": time_of(letter.timestamp_ms),
        **letter.about.model_dump(),
    }
    if whole:
        for name, data in (("key", letter.key), ("value", letter.value)):
            found[name] = None if data is None else b64encode(data).decode()
        found["headers"] = [[name, b64encode(value).decode()] for name, value in original_headers(letter.headers)]
    return json.dumps(found, ensure_ascii=False)


def _echo_counts(counts: Counter[str], foreign: int) -> None:
    for reason, count in sorted(counts.items()):
        typer.echo(f"{count:>10,} {reason}")
    typer.echo(f"{sum(counts.values()):>10,} in all")
    if foreign:
        typer.echo(f"{foreign:>10,} records of the topic are no dead letters of ours")
