"""``streamlearn snapshot``: what snapshots there are, what is in one, and whether every byte is right."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlearn.cli.options import AsJson, Config, Overrides
from streamlearn.cli.time_options import moment_of, time_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamlearn.settings.settings import Settings
    from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore

app = typer.Typer(
    name="snapshot",
    help="List, inspect and verify snapshots, of a service or a classifier, and roll a model back to one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Location = Annotated[
    str | None,
    typer.Argument(help="Folder or URL of snapshots; else snapshot.location of the settings.", show_default=False),
]
Target = Annotated[
    str | None,
    typer.Argument(
        help="A snapshot file (.npz), or a folder or URL of snapshots; else snapshot.location of the settings.",
        show_default=False,
    ),
]


@app.command("list")
def list_snapshots(
    location: Location = None, config: Config = None, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """List the snapshots of every group, lineage and task, newest first within a task."""
    store = _store(location, config, overrides)
    entries = store.list()
    taken = [_taken(store, entry) for entry in entries]
    if as_json:
        _echo_json([{**entry._asdict(), "taken": at} for entry, at in zip(entries, taken, strict=True)])
        return
    if not entries:
        typer.echo(f"no snapshots at {store.location}")
        return
    _echo_table(
        ("GROUP", "LINEAGE", "TASK", "SEQUENCE", "TAKEN", "BYTES", "PATH"),
        [
            (entry.group, entry.lineage, str(entry.task), str(entry.seq), at, f"{entry.size_bytes:,}", entry.path)
            for entry, at in zip(entries, taken, strict=True)
        ],
        right=(2, 3, 5),
    )


@app.command()
def inspect(target: Target = None, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show the manifest and the arrays of a snapshot; of several, the one with the highest sequence of each task."""
    manifests = []
    if _is_file(target):
        from streamlearn.snapshot.format import read_manifest

        manifests.append((str(target), _of_file(str(target), read_manifest)))
    else:
        store = _store(target, config, overrides)
        manifests.extend((entry.path, store.read_manifest(entry)) for entry in _newest_of_each(_some(store)))
    if as_json:
        _echo_json([{"path": path, **manifest} for path, manifest in manifests])
        return
    for path, manifest in manifests:
        _show(path, manifest)


@app.command()
def verify(
    target: Target = None,
    config: Config = None,
    overrides: Overrides = None,
    against_journal: Annotated[
        bool,
        typer.Option(
            "--against-journal",
            help="Also apply the journal again, from the snapshot before it or the model's beginning, and compare.",
        ),
    ] = False,
) -> None:
    """Check every byte of a snapshot, or of all snapshots at a location; exit with status 1 if one is not right."""
    from streamlearn.errors import SnapshotError
    from streamlearn.snapshot.format import verify_snapshot

    if against_journal:
        _prove(target, config, overrides)
        return
    if _is_file(target):
        checks = [(str(target), lambda: _of_file(str(target), verify_snapshot))]
    else:
        store = _store(target, config, overrides)
        checks = [(entry.path, lambda entry=entry: store.verify(entry)) for entry in _some(store)]
    faults = 0
    for path, check in checks:
        try:
            _echo_right(path, check())
        except SnapshotError as error:
            faults += 1
            typer.echo(f"broken  {error}", err=True)
    _end(faults, len(checks))


def _prove(target: str | None, config: Path | None, overrides: Sequence[str] | None) -> None:
    """Check every byte, and apply the journal again."""
    import contextlib

    from streamlearn.cli.snapshot_verify import Prover
    from streamlearn.errors import JournalError, SnapshotError

    faults = 0
    with contextlib.closing(Prover(_settings(config, overrides), target)) as prover:
        for entry in prover.entries:
            try:
                manifest = prover.store.verify(entry)
                _echo_right(entry.path, manifest, prover.proof(entry))
            except (JournalError, SnapshotError) as error:
                faults += 1
                typer.echo(f"broken  {error}", err=True)
        _end(faults, len(prover.entries))


def _echo_right(path: str, manifest: Mapping[str, Any], proof: str = "") -> None:
    arrays = manifest["arrays"]
    typer.echo(f"ok      {path}: {len(arrays)} arrays, {_bytes_of(arrays):,} bytes{'; ' if proof else ''}{proof}")


def _end(faults: int, count: int) -> None:
    if faults:
        typer.echo(f"{faults} of {count} broken; a restore refuses these and takes the one before", err=True)
        raise typer.Exit(1)


@app.command()
def rollback(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SNAPSHOT", help="Its sequence, file name or path, as `list` shows.", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="Instead: the newest that was taken at this time or before: 2026-01-31T12:00, UTC unless it says.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[int, typer.Option("--task", help="Of engine.scope = partition: the partition.")] = 0,
    config: Config = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", help="Roll back; without it, only say what would be done.")] = False,
) -> None:
    """Put a model back to the state of an earlier snapshot, while no worker of its group runs.

    Only the model and the labels that wait go back: what was read stays read, and what was answered stays answered.
    The workers go on from there when they are started again.
    """
    from streamlearn.cli.snapshot_rollback import roll_back_on_kafka
    from streamlearn.errors import UsageError

    if (name is None) == (until is None):
        raise UsageError("say which snapshot: its sequence, file name or path, or --until a time")
    settings = _settings(config, overrides)
    moment = None if until is None else moment_of("--until", until)
    roll_back_on_kafka(settings, name or "", None if moment is None else moment * 1_000_000, task, do=yes)


def _taken(store: SnapshotStore, entry: SnapshotEntry) -> str:
    """Return the journal's clock when a snapshot was taken."""
    from streamlearn.errors import SnapshotError

    try:
        now_ns = store.read_manifest(entry).get("now")
    except SnapshotError:
        return "cannot be read"
    return time_of(now_ns // 1_000_000) if now_ns else "not known"


def _store(location: str | None, config: Path | None, overrides: Sequence[str] | None) -> SnapshotStore:
    from streamlearn.snapshot.store import SnapshotStore

    if location is not None:
        return SnapshotStore(location)
    return SnapshotStore(_settings(config, overrides).snapshot.location)


def _settings(config: Path | None, overrides: Sequence[str] | None) -> Settings:
    from streamlearn.settings.loading import load_settings

    return load_settings(config, overrides or (), os.environ).settings


def _some(store: SnapshotStore) -> Sequence[SnapshotEntry]:
    from streamlearn.errors import UsageError

    entries = store.list()
    if not entries:
        raise UsageError(
            f"no snapshots at {store.location}: give the folder or URL that holds <group>/<lineage>/<task>/, "
            "a snapshot file, or --set snapshot.location=..."
        )
    return entries


def _newest_of_each(entries: Sequence[SnapshotEntry]) -> list[SnapshotEntry]:
    newest: dict[tuple[str, str, int], SnapshotEntry] = {}
    for entry in entries:
        newest.setdefault((entry.group, entry.lineage, entry.task), entry)
    return list(newest.values())


def _is_file(target: str | None) -> bool:
    return target is not None and (target.endswith(".npz") or Path(target).is_file())


def _of_file(target: str, read: Any) -> dict[str, Any]:
    """Apply a reader to one file at a path or URL."""
    import fsspec

    from streamlearn.errors import UsageError

    try:
        with fsspec.open(target, "rb") as file:
            return read(file, target)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"snapshot {target} cannot be opened: {error.strerror or 'no such file'}") from error
    except (ImportError, ValueError) as error:
        raise UsageError(f"snapshot {target} cannot be opened: {error}") from error


def _show(path: str, manifest: Mapping[str, Any]) -> None:
    arrays = manifest["arrays"]
    typer.echo(path)
    for key, value in manifest.items():
        if key != "arrays":
            typer.echo(f"  {key:<15} {value if isinstance(value, str | int) else _compact(value)}")
    typer.echo(f"  {'arrays':<15} {len(arrays)}, {_bytes_of(arrays):,} bytes")
    _echo_table(
        ("  ARRAY", "TYPE", "SHAPE", "BYTES"),
        [
            ("  " + entry["name"], entry["dtype"].lstrip("<|"), _shape(entry), f"{_bytes_of([entry]):,}")
            for entry in arrays
        ],
        right=(3,),
    )


def _shape(entry: Mapping[str, Any]) -> str:
    return " x ".join(map(str, entry["shape"])) or "one value"


def _bytes_of(arrays: Sequence[Mapping[str, Any]]) -> int:
    from math import prod

    return sum(prod(entry["shape"]) * int(entry["dtype"][2:]) for entry in arrays)


def _echo_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> None:
    """Print columns as wide as they need, so that a path can be copied whole from any terminal."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())


def _echo_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _compact(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
