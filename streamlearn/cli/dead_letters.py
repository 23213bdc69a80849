"""``streamlearn dead-letters``: list, show, export and replay records that could not be used."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from streamlearn.cleanup import Cleanup
from streamlearn.cli.group import new_group
from streamlearn.cli.options import Config, Overrides
from streamlearn.cli.output import echo, open_for_writing
from streamlearn.cli.time_options import format_time, parse_time_option
from streamlearn.errors import Reason, UsageError
from streamlearn.records.dead_letter import original_headers

if TYPE_CHECKING:
    from streamlearn.kafka.dead_letter_reader import DeadLetterFilter, DeadLetterReader
    from streamlearn.records.dead_letter import DeadLetterRecord
    from streamlearn.settings.settings import Settings

app = new_group("dead-letters", "List, show, export and replay records that could not be used.")

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", help="Only letters with this reason; may be repeated.", show_default=False),
]
Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only records of this topic; may be repeated.", show_default=False)
]
Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", help="Only records of this partition; may be repeated.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        help="Only letters of this time or later: 2026-01-31T12:00, UTC without an offset.",
        show_default=False,
    ),
]
Until = Annotated[str | None, typer.Option("--until", help="Only letters before this time.", show_default=False)]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]


@app.command("list")
def list_letters(
    config: Config = None,
    overrides: Overrides = None,
    reasons: Reasons = None,
    topics: Topics = None,
    partitions: Partitions = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJsonLines = False,
) -> None:
    """List dead letters, one per line, with the number of letters per reason."""
    reader = _reader(_settings(config, overrides))
    counts: Counter[str] = Counter()
    with Cleanup(reader.close):
        for letter in reader.read(_filter(reasons, topics, partitions, since, until)):
            counts[letter.about.reason] += 1
            echo(_as_json(letter, with_record=False) if as_json else _as_line(letter))
    if not as_json:
        _echo_counts(counts, reader.foreign)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PARTITION@OFFSET", help="The letter, as shown by `list`.")],
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Show one dead letter: the reason, and the original record."""
    partition, at, offset = name.partition("@")
    if not (at and partition.isdigit() and offset.isdigit()):
        raise UsageError(f"{name!r} is not a dead letter: write PARTITION@OFFSET, as `dead-letters list` shows it")
    reader = _reader(_settings(config, overrides))
    with Cleanup(reader.close):
        letter = reader.find(int(partition), int(offset))
        original = reader.original(letter) if letter.about.pointer else letter
    about = letter.about
    echo(f"refused    {format_time(letter.timestamp_ms)} by release {about.version}: {about.reason}")
    echo(f"because    {about.text}")
    echo(f"record     {about.topic}[{about.partition}]@{about.offset} of {format_time(about.timestamp)}")
    echo(f"replayed   {about.replayed} times")
    if original is None:
        echo("value      not in the letter, and the original record is no longer in its topic or cannot be read")
        return
    echo(f"key        {_decode(original.key)}")
    for header, value in original_headers(original.headers):
        echo(f"header     {header} = {_decode(value)}")
    echo(f"value      {_decode(original.value)}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Output file, .jsonl or .jsonl.gz (.bz2, .xz); it must not exist.")],
    config: Config = None,
    overrides: Overrides = None,
    reasons: Reasons = None,
    topics: Topics = None,
    partitions: Partitions = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write dead letters to a file, with keys, values and headers in base64; nothing stays of one that breaks off."""
    reader = _reader(_settings(config, overrides))
    count = 0
    with Cleanup(reader.close), open_for_writing(file, new=True) as out, _removed_on_error(file):
        for letter in reader.read(_filter(reasons, topics, partitions, since, until)):
            out.write(_as_json(letter, with_record=True).encode() + b"\n")
            count += 1
    echo(f"wrote {count:,} dead letters to {file}")


@contextlib.contextmanager
def _removed_on_error(file: Path) -> Iterator[None]:
    """Remove a file that an error leaves incomplete: it would look complete, and stand in the way of the next try."""
    try:
        yield
    except BaseException:
        with Cleanup(lambda: file.unlink(missing_ok=True)):
            raise


@app.command()
def replay(
    config: Config = None,
    overrides: Overrides = None,
    reasons: Reasons = None,
    topics: Topics = None,
    partitions: Partitions = None,
    since: Since = None,
    until: Until = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also replay letters that were refused after an earlier replay.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Send the records; without it, only print what would be sent.")
    ] = False,
) -> None:
    """Send the original bytes of dead letters to their topics again, as new records.

    Use it after fixing the cause on the worker side, such as a limit that was too low: a record that is itself wrong is
    refused again. Each record gets the header streamlearn.replayed; one that is refused after a replay is replayed
    again only with --again.
    """
    from streamlearn.kafka.dead_letter_replayer import DeadLetterReplayer

    settings = _settings(config, overrides)
    letters = _filter(reasons, topics, partitions, since, until)
    inputs = {settings.topics.instances, settings.topics.labels}
    reader = _reader(settings)
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    sender = originals = None
    with Cleanup(
        reader.close,
        lambda: None if originals is None else originals.close(),
        lambda: None if sender is None else sender.close(),
    ):
        sender = DeadLetterReplayer(settings) if yes else None
        for letter in reader.read(letters):
            record: Any = letter
            if letter.about.topic not in inputs:
                skipped[f"from {letter.about.topic}, which is not an input topic of these settings"] += 1
                continue
            if letter.about.replayed and not again:
                skipped["refused after a replay; --again sends them once more"] += 1
                continue
            if letter.about.pointer:
                originals = originals or _reader(settings)
                record = originals.original(letter)
                if record is None:
                    skipped["whose original is no longer in its topic or cannot be read"] += 1
                    continue
            counts[letter.about.reason] += 1
            if sender is not None:
                sender.send(letter, record.key, record.value, record.headers)
        if sender is not None:
            sender.finish()
    _echo_counts(counts, reader.foreign)
    for reason, count in sorted(skipped.items()):
        echo(f"left out: {count:,} {reason}")
    echo("sent" if yes else "nothing was sent; --yes sends them")


def _settings(config: Path | None, overrides: list[str] | None) -> Settings:
    from streamlearn.settings.loading import load_settings

    return load_settings(config, overrides or ()).settings


def _reader(settings: Settings) -> DeadLetterReader:
    from streamlearn.kafka.dead_letter_reader import DeadLetterReader

    return DeadLetterReader(settings)


def _filter(
    reasons: list[str] | None,
    topics: list[str] | None,
    partitions: list[int] | None,
    since: str | None,
    until: str | None,
) -> DeadLetterFilter:
    from streamlearn.kafka.dead_letter_reader import DeadLetterFilter

    known = get_args(Reason)
    for reason in reasons or ():
        if reason not in known:
            # Another release may have written letters with it.
            echo(f"warning: --reason {reason}: this release has no such reason, only {', '.join(known)}", err=True)
    return DeadLetterFilter(
        frozenset(reasons or ()),
        frozenset(topics or ()),
        frozenset(partitions or ()),
        parse_time_option("--since", since),
        parse_time_option("--until", until),
    )


def _decode(data: bytes | None) -> str:
    return "none" if data is None else data.decode("utf-8", "backslashreplace")


def _as_line(letter: DeadLetterRecord) -> str:
    about = letter.about
    source = f"{about.topic}[{about.partition}]@{about.offset}"
    return f"{letter.name:<10} {format_time(letter.timestamp_ms)}  {about.reason:<17} {source}  {about.text}"


def _as_json(letter: DeadLetterRecord, *, with_record: bool) -> str:
    """Return a letter as one line of JSON; ``with_record`` adds the original key, value and headers in base64."""
    import json
    from base64 import b64encode

    fields: dict[str, Any] = {
        "letter": letter.name,
        "refused": format_time(letter.timestamp_ms),
        **letter.about.model_dump(),
    }
    if with_record:
        for name, data in (("key", letter.key), ("value", letter.value)):
            fields[name] = None if data is None else b64encode(data).decode()
        fields["headers"] = [
            [name, None if value is None else b64encode(value).decode()]
            for name, value in original_headers(letter.headers)
        ]
    return json.dumps(fields, ensure_ascii=False)


def _echo_counts(counts: Counter[str], foreign: int) -> None:
    for reason, count in sorted(counts.items()):
        echo(f"{count:>10,} {reason}")
    echo(f"{sum(counts.values()):>10,} in all")
    if foreign:
        echo(f"{foreign:>10,} records of the topic are not dead letters of streamlearn")
