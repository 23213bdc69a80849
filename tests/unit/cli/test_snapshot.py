"""``streamlearn snapshot`` on real files: output and exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlearn.snapshot.format import write_snapshot
from streamlearn.snapshot.store import SnapshotStore


@pytest.fixture
def location(tmp_path: Path) -> Path:
    store = SnapshotStore(str(tmp_path / "snapshots"))
    for lineage, seq in (("a1", 3), ("a1", 20), ("b2", 7)):
        taken = {"now": 1_769_860_800_000_000_000} if seq == 20 else {}
        arrays = {"learner.weights": np.ones((seq, 4), np.float32), "learner.counters": np.array(seq)}
        store.save(
            "team/eu", lineage, 0, seq, "c0ffee", arrays, {"positions": [["instances", 0, seq]], "kernel": "k"} | taken
        )
    return tmp_path / "snapshots"


def streamlearn(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlearn", "snapshot", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


def newest(location: Path) -> Path:
    return location / "team%2Feu" / "a1" / "0" / "20-c0ffee.npz"


def test_list_shows_newest_first(location):
    done = streamlearn("list", location)
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["GROUP", "LINEAGE", "TASK", "SEQUENCE", "TAKEN", "BYTES", "PATH"]
    assert [row.split()[:4] for row in rows] == [
        ["team/eu", "a1", "0", "20"],
        ["team/eu", "a1", "0", "3"],
        ["team/eu", "b2", "0", "7"],
    ]
    assert rows[0].split()[-1] == str(newest(location))
    assert rows[0].split()[4] == "2026-01-31T12:00:00.000+00:00"
    assert "not known" in rows[1]


def test_list_as_json(location):
    entries = json.loads(streamlearn("list", location, "--json").stdout)
    assert [(entry["lineage"], entry["seq"]) for entry in entries] == [("a1", 20), ("a1", 3), ("b2", 7)]
    assert [entry["taken"] for entry in entries] == ["2026-01-31T12:00:00.000+00:00", "not known", "not known"]


def test_rollback_needs_exactly_one_snapshot(location):
    for arguments in ((), ("20", "--until", "2026-01-31")):
        done = streamlearn("rollback", *arguments, "--set", f"snapshot.location={location}")
        assert done.returncode == 2
        assert "give one snapshot: its sequence, file name or path, or --until with a time" in done.stderr
    done = streamlearn("rollback", "--until", "yesterday")
    assert (done.returncode, "--until 'yesterday' is not a time" in done.stderr) == (2, True)


@pytest.mark.parametrize("origin", ["option", "file", "environment"])
def test_the_location_comes_from_the_settings(location, tmp_path, origin):
    config = tmp_path / "streamlearn.toml"
    config.write_text(f'[snapshot]\nlocation = "{location}"\n')
    done = {
        "option": lambda: streamlearn("list", "--set", f"snapshot.location={location}"),
        "file": lambda: streamlearn("list", "--config", config),
        "environment": lambda: streamlearn("list", STREAMLEARN_SNAPSHOT__LOCATION=str(location)),
    }[origin]()
    assert done.returncode == 0, done.stderr
    assert str(newest(location)) in done.stdout


def test_list_without_snapshots_shows_the_location(tmp_path):
    done = streamlearn("list", tmp_path / "none")
    assert (done.returncode, done.stdout.strip()) == (0, f"no snapshots at {tmp_path / 'none'}")


def test_inspect_shows_the_newest_snapshot_of_each_lineage(location):
    done = streamlearn("inspect", location)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith(".npz")] == [
        str(newest(location)),
        str(location / "team%2Feu" / "b2" / "0" / "7-c0ffee.npz"),
    ]
    assert '[["instances", 0, 20]]' in done.stdout
    assert ["learner.weights", "f4", "20", "x", "4", "320"] in [line.split() for line in done.stdout.splitlines()]


def test_inspect_one_file_as_json(location):
    (manifest,) = json.loads(streamlearn("inspect", newest(location), "--json").stdout)
    assert (manifest["seq"], manifest["group"], len(manifest["arrays"])) == (20, "team/eu", 2)


def test_verify_accepts_intact_snapshots(location):
    done = streamlearn("verify", location)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok"] * 3
    assert done.stderr == ""


def test_verify_reports_a_broken_snapshot_and_exits_1(location):
    damage(newest(location))
    done = streamlearn("verify", location)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    fault, summary = done.stderr.splitlines()
    assert fault.startswith("broken")
    assert str(newest(location)) in fault
    assert summary.startswith("1 of 3 broken")


def test_verify_a_file_saved_by_a_classifier(tmp_path):
    file = tmp_path / "model.npz"
    write_snapshot(file, {"weights": np.ones(3)}, {"classifier": {}})
    assert streamlearn("verify", file).returncode == 0
    damage(file)
    done = streamlearn("verify", file)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 2)
    assert str(file) in done.stderr


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_target_without_snapshots_is_a_usage_error(tmp_path, command):
    for target in (tmp_path, tmp_path / "absent.npz", "nosuch://bucket"):
        done = streamlearn(command, target)
        assert done.returncode == 2, done.stderr
        assert str(target) in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stderr


def test_inspect_of_a_broken_file_prints_one_line_and_exits_1(location):
    newest(location).write_bytes(b"PK\3\4 not a snapshot")
    done = streamlearn("inspect", newest(location))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(newest(location)) in done.stderr
