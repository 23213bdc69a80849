"""``streamlearn snapshot``: list, inspect and verify snapshots, and roll a model back to one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamlearn.cli.group import new_group
from streamlearn.cli.options import AsJson, Config, Overrides
from streamlearn.cli.output import echo, echo_json
from streamlearn.cli.time_options import format_time, parse_time_option
from streamlearn.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamlearn.settings.settings import Settings
    from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore

app = new_group(
    "snapshot", "List, inspect and verify snapshots of a service or a classifier, and roll a model back to one."
)

Location = Annotated[
    str | None,
    typer.Argument(help="Folder or URL of snapshots; by default the setting snapshot.location.", show_default=False),
]
Target = Annotated[
    str | None,
    typer.Argument(
        help="A snapshot file (.npz), or a folder or URL of snapshots; by default the setting snapshot.location.",
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
    times = [_time_taken(store, entry) for entry in entries]
    if as_json:
        echo_json([{**entry._asdict(), "taken": taken} for entry, taken in zip(entries, times, strict=True)])
        return
    if not entries:
        echo(f"no snapshots at {store.location}")
        return
    _echo_table(
        ("GROUP", "LINEAGE", "TASK", "SEQUENCE", "TAKEN", "BYTES", "PATH"),
        [
            (entry.group, entry.lineage, str(entry.task), str(entry.seq), taken, f"{entry.size_bytes:,}", entry.path)
            for entry, taken in zip(entries, times, strict=True)
        ],
        right=(2, 3, 5),
    )


@app.command()
def inspect(target: Target = None, config: Config = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show the manifest and arrays of a snapshot; for a location, of the newest snapshot of each task."""
    manifests = []
    if _is_file(target):
        from streamlearn.snapshot.format import read_manifest

        manifests.append((str(target), _apply_to_file(str(target), read_manifest)))
    else:
        store = _store(target, config, overrides)
        manifests.extend((entry.path, store.read_manifest(entry)) for entry in _newest_per_task(_list_entries(store)))
    if as_json:
        echo_json([{"path": path, **manifest} for path, manifest in manifests])
        return
    for path, manifest in manifests:
        _echo_manifest(path, manifest)


@app.command()
def verify(
    target: Target = None,
    config: Config = None,
    overrides: Overrides = None,
    against_journal: Annotated[
        bool,
        typer.Option(
            "--against-journal",
            help="Also replay the journal from the previous snapshot or the start of the model, and compare states.",
        ),
    ] = False,
) -> None:
    """Check every byte of a snapshot, or of all snapshots at a location; exit with status 1 if one is broken."""
    from streamlearn.errors import SnapshotError
    from streamlearn.snapshot.format import verify_snapshot

    if against_journal:
        _verify_against_journal(target, config, overrides)
        return
    if _is_file(target):
        checks = [(str(target), lambda: _apply_to_file(str(target), verify_snapshot))]
    else:
        store = _store(target, config, overrides)
        checks = [(entry.path, lambda entry=entry: store.verify(entry)) for entry in _list_entries(store)]
    broken = 0
    for path, check in checks:
        try:
            _echo_ok(path, check())
        except SnapshotError as error:
            broken += 1
            echo(f"broken  {error}", err=True)
    _exit_if_broken(broken, len(checks))


def _verify_against_journal(target: str | None, config: Path | None, overrides: Sequence[str] | None) -> None:
    """Check every byte, and replay the journal."""
    from streamlearn.cleanup import Cleanup
    from streamlearn.cli.snapshot_verify import JournalVerifier
    from streamlearn.errors import JournalError, SnapshotError

    broken = 0
    verifier = JournalVerifier(_settings(config, overrides), target)
    with Cleanup(verifier.close):
        for entry in verifier.entries:
            try:
                manifest = verifier.store.verify(entry)
                _echo_ok(entry.path, manifest, verifier.verify(entry))
            except (JournalError, SnapshotError) as error:
                broken += 1
                echo(f"broken  {error}", err=True)
        _exit_if_broken(broken, len(verifier.entries))


def _echo_ok(path: str, manifest: Mapping[str, Any], proof: str = "") -> None:
    arrays = manifest["arrays"]
    echo(f"ok      {path}: {len(arrays)} arrays, {_total_bytes(arrays):,} bytes{'; ' if proof else ''}{proof}")


def _exit_if_broken(broken: int, count: int) -> None:
    if broken:
        echo(f"{broken} of {count} broken; a restore skips these and uses an older one", err=True)
        raise typer.Exit(1)


@app.command()
def rollback(
    name: Annotated[
        str | None,
        typer.Argument(metavar="SNAPSHOT", help="Sequence, file name or path, as shown by `list`.", show_default=False),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="Instead of SNAPSHOT: the newest one taken at or before this time: 2026-01-31T12:00, UTC without an "
            "offset.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        int, typer.Option("--task", help="The partition whose model goes back, with engine.scope = partition.")
    ] = 0,
    config: Config = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", help="Roll back; without it, only print what would be done.")] = False,
) -> None:
    """Return a model to the state of an earlier snapshot, while no worker of its group runs.

    Only the model and the instances and labels that wait for each other go back. Input positions and written
    predictions stay as they are. The workers continue from there when they are started again.
    """
    from streamlearn.cli.snapshot_rollback import roll_back_on_kafka
    from streamlearn.errors import UsageError

    if (name is None) == (until is None):
        raise UsageError("give one snapshot: its sequence, file name or path, or --until with a time")
    settings = _settings(config, overrides)
    until_ms = parse_time_option("--until", until)
    until_ns = None if until_ms is None else until_ms * 1_000_000
    roll_back_on_kafka(settings, name or "", until_ns, task, do=yes)


def _time_taken(store: SnapshotStore, entry: SnapshotEntry) -> str:
    """Return the journal's time when a snapshot was taken, as text."""
    from streamlearn.errors import SnapshotError

    try:
        now_ns = store.read_manifest(entry).get("now")
    except SnapshotError:
        return "cannot be read"
    return format_time(now_ns // 1_000_000) if now_ns else "not known"


def _store(location: str | None, config: Path | None, overrides: Sequence[str] | None) -> SnapshotStore:
    from streamlearn.snapshot.store import SnapshotStore

    if location is not None:
        return SnapshotStore(location, named="the location")
    return SnapshotStore(_settings(config, overrides).snapshot.location)


def _settings(config: Path | None, overrides: Sequence[str] | None) -> Settings:
    from streamlearn.settings.loading import load_settings

    return load_settings(config, overrides or (), os.environ).settings


def _list_entries(store: SnapshotStore) -> Sequence[SnapshotEntry]:
    from streamlearn.errors import UsageError

    entries = store.list()
    if not entries:
        raise UsageError(
            f"no snapshots at {store.location}: give the folder or URL that holds <group>/<lineage>/<task>/, "
            "a snapshot file, or --set snapshot.location=..."
        )
    return entries


def _newest_per_task(entries: Sequence[SnapshotEntry]) -> list[SnapshotEntry]:
    newest: dict[tuple[str, str, int], SnapshotEntry] = {}
    for entry in entries:
        newest.setdefault((entry.group, entry.lineage, entry.task), entry)
    return list(newest.values())


def _is_file(target: str | None) -> bool:
    return target is not None and (target.endswith(".npz") or Path(target).is_file())


def _apply_to_file(target: str, read: Any) -> dict[str, Any]:
    """Return ``read(file, target)`` of the file at a path or URL."""
    import fsspec

    from streamlearn.errors import UsageError

    try:
        with fsspec.open(target, "rb") as file:
            return read(file, target)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"snapshot {target} cannot be opened: {error.strerror or 'no such file'}") from error
    except (ImportError, ValueError) as error:
        raise UsageError(f"snapshot {target} cannot be opened: {error}") from error


def _echo_manifest(path: str, manifest: Mapping[str, Any]) -> None:
    arrays = manifest["arrays"]
    echo(path)
    for key, value in manifest.items():
        if key != "arrays":
            echo(f"  {key:<15} {value if isinstance(value, str | int) else _compact(value)}")
    echo(f"  {'arrays':<15} {len(arrays)}, {_total_bytes(arrays):,} bytes")
    _echo_table(
        ("  ARRAY", "TYPE", "SHAPE", "BYTES"),
        [
            ("  " + entry["name"], entry["dtype"].lstrip("<|"), _shape(entry), f"{_total_bytes([entry]):,}")
            for entry in arrays
        ],
        right=(3,),
    )


def _shape(entry: Mapping[str, Any]) -> str:
    return " x ".join(map(str, entry["shape"])) or "scalar"


def _total_bytes(arrays: Sequence[Mapping[str, Any]]) -> int:
    from math import prod

    return sum(prod(entry["shape"]) * int(entry["dtype"][2:]) for entry in arrays)


def _echo_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> None:
    """Print columns at their full width, without line breaks, so that paths can be copied from any terminal."""
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for row in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        echo("  ".join(cells).rstrip())


def _compact(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
