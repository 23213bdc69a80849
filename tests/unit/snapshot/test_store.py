"""The store of snapshots: saved whole, listed newest first, pruned, and refused with their paths."""

from __future__ import annotations

import fcntl
import multiprocessing
import resource
import threading
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash

ARRAYS = {"weights": np.arange(1000, dtype=np.float32), "counts": np.ones((3, 3))}


@pytest.fixture(params=["folder", "memory"])
def location(request, tmp_path: Path) -> str:
    return str(tmp_path / "snapshots") if request.param == "folder" else f"memory://{uuid.uuid4().hex}/snapshots"


def save(store: SnapshotStore, seq: int, *, group="g", lineage="l", task=0, chain="c0ffee", arrays=None):
    return store.save(group, lineage, task, seq, chain, arrays or ARRAYS, {"positions": [["t", 0, seq]]})


def test_a_saved_snapshot_round_trips(location):
    store = SnapshotStore(location)
    entry = save(store, 12)
    assert store.list() == [entry]
    assert entry.path.endswith("/g/l/0/12-c0ffee.npz")
    assert entry.size_bytes > 4000
    manifest, arrays = SnapshotStore(location).read(entry)
    assert state_hash(arrays) == state_hash(ARRAYS)
    assert {key: manifest[key] for key in ("group", "lineage", "task", "seq", "chain")} == {
        "group": "g",
        "lineage": "l",
        "task": 0,
        "seq": 12,
        "chain": "c0ffee",
    }
    assert manifest["positions"] == [["t", 0, 12]]
    assert store.read_manifest(entry) == manifest == store.verify(entry)


def test_an_empty_location_has_none(location):
    assert SnapshotStore(location).list() == []


def test_the_newest_is_first_and_other_files_are_ignored(location):
    store = SnapshotStore(location)
    for seq in (2, 100, 9):
        save(store, seq)
    save(store, 50, lineage="other")
    save(store, 60, task=1)
    filesystem, root = fsspec.url_to_fs(location)
    filesystem.pipe_file(f"{root}/g/l/0/notes.txt", b"x")
    filesystem.pipe_file(f"{root}/g/l/0/7-.npz", b"x")
    assert [entry.seq for entry in store.list("g", "l", 0)] == [100, 9, 2]
    assert [(entry.lineage, entry.task, entry.seq) for entry in store.list("g")] == [
        ("l", 0, 100),
        ("l", 0, 9),
        ("l", 0, 2),
        ("l", 1, 60),
        ("other", 0, 50),
    ]
    assert store.list("absent") == []


@pytest.mark.parametrize("group", ["team/eu", "..", ".", "a b%2F", "größe", "..a"])
def test_any_group_name_is_one_folder(location, group):
    store = SnapshotStore(location)
    entry = save(store, 1, group=group)
    assert store.list(group) == store.list() == [entry]
    assert entry.group == group
    assert store.read_manifest(entry)["group"] == group


def test_prune_keeps_the_last_of_each_task(location):
    store = SnapshotStore(location, keep=2)
    for seq in (5, 30, 10, 20):
        save(store, seq)
    save(store, 1, lineage="new")
    save(store, 1, task=1)
    assert [entry.seq for entry in store.prune("g", "l", 0)] == [10, 5]
    assert [entry.seq for entry in store.list("g", "l", 0)] == [30, 20]
    assert [entry.seq for entry in store.list("g", "new", 0)] == [1]
    assert [entry.seq for entry in store.list("g", "l", 1)] == [1]
    assert store.prune("g", "l", 0) == []


def test_prune_never_removes_the_last_that_can_be_opened(location):
    store = SnapshotStore(location, keep=2)
    for seq in (1, 2, 3, 4):
        save(store, seq)
    filesystem, root = fsspec.url_to_fs(location)
    for seq in (3, 4):
        filesystem.pipe_file(f"{root}/g/l/0/{seq}-c0ffee.npz", b"truncated")
    assert store.prune("g", "l", 0) == []
    save(store, 5)
    assert [entry.seq for entry in store.prune("g", "l", 0)] == [1]
    save(store, 6)
    assert [entry.seq for entry in store.prune("g", "l", 0)] == [4, 3, 2]


def test_prune_does_not_count_snapshots_beyond_the_models_past(location):
    store = SnapshotStore(location, keep=1)
    for seq in (100, 200, 7, 8):
        save(store, seq)
    assert [entry.seq for entry in store.prune("g", "l", 0, 8)] == [7]
    assert [entry.seq for entry in store.list("g", "l", 0)] == [200, 100, 8]


def test_a_damaged_snapshot_is_an_error_with_its_path_and_the_one_before_is_readable(location):
    store = SnapshotStore(location)
    save(store, 1)
    newest = save(store, 2)
    filesystem, root = fsspec.url_to_fs(location)
    content = bytearray(filesystem.cat_file(f"{root}/g/l/0/2-c0ffee.npz"))
    content[1000] ^= 4
    filesystem.pipe_file(f"{root}/g/l/0/2-c0ffee.npz", bytes(content))
    with pytest.raises(SnapshotError, match=r"2-c0ffee\.npz"):
        store.read(newest)
    with pytest.raises(SnapshotError, match=r"2-c0ffee\.npz"):
        store.verify(newest)
    assert store.read(store.list()[1])[0]["seq"] == 1


def test_a_renamed_snapshot_is_refused(location):
    store = SnapshotStore(location)
    save(store, 1)
    filesystem, root = fsspec.url_to_fs(location)
    filesystem.mv(f"{root}/g/l/0/1-c0ffee.npz", f"{root}/g/l/0/8-c0ffee.npz")
    with pytest.raises(SnapshotError, match=r"8-c0ffee\.npz.*seq 1.*renamed"):
        store.read(store.list()[0])


def test_a_missing_snapshot_is_an_error_with_its_path(location):
    store = SnapshotStore(location, keep=1)
    entry = save(store, 1)
    save(store, 2)
    store.prune("g", "l", 0)
    with pytest.raises(SnapshotError, match=r"1-c0ffee\.npz does not exist"):
        store.read(entry)


def test_an_existing_object_is_not_overwritten():
    store = SnapshotStore(f"memory://{uuid.uuid4().hex}")
    entry = save(store, 1)
    save(store, 1, arrays={"other": np.zeros(2)})
    assert state_hash(store.read(entry)[1]) == state_hash(ARRAYS)


def test_a_failed_write_leaves_no_object():
    location = f"memory://{uuid.uuid4().hex}"
    store = SnapshotStore(location)
    with pytest.raises(ValueError, match="JSON"):
        store.save("g", "l", 0, 1, "c0ffee", ARRAYS, {"bad": float("nan")})
    assert store.list() == []


def test_an_existing_file_is_replaced_as_a_whole(tmp_path):
    store = SnapshotStore(str(tmp_path))
    entry = save(store, 1)
    Path(entry.path).write_bytes(b"broken")
    save(store, 1)
    assert store.verify(entry)["seq"] == 1


def write_often(location: str, start) -> None:
    start.wait()
    store = SnapshotStore(location)
    for seq in range(5):
        save(store, seq)


def test_two_writers_of_the_same_marks_do_not_disturb_each_other(tmp_path):
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    writers = [context.Process(target=write_often, args=(str(tmp_path), start)) for _ in range(2)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = SnapshotStore(str(tmp_path))
    assert [store.verify(entry)["seq"] for entry in store.list()] == [4, 3, 2, 1, 0]
    assert len(list(tmp_path.rglob("*"))) == 3 + 5


def test_two_threads_on_an_object_store():
    location = f"memory://{uuid.uuid4().hex}"
    threads = [threading.Thread(target=lambda: [save(SnapshotStore(location), seq) for seq in range(5)]) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    store = SnapshotStore(location)
    assert [store.verify(entry)["seq"] for entry in store.list()] == [4, 3, 2, 1, 0]


def test_prune_removes_the_temporary_files_of_dead_writers(tmp_path):
    store = SnapshotStore(str(tmp_path))
    folder = Path(save(store, 1).path).parent
    (folder / ".2-c0ffee.npz.dead.tmp").write_bytes(b"half")
    with (folder / ".3-c0ffee.npz.alive.tmp").open("wb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        store.prune("g", "l", 0)
        assert sorted(path.name for path in folder.iterdir()) == [".3-c0ffee.npz.alive.tmp", "1-c0ffee.npz"]


def test_a_location_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    store = SnapshotStore(str(tmp_path / "file" / "snapshots"))
    for action in (lambda: save(store, 1), store.check):
        with pytest.raises(SnapshotError, match=r"cannot write.*snapshot\.location"):
            action()


def test_a_write_that_breaks_off_leaves_the_earlier_snapshots_and_nothing_else(tmp_path):
    store = SnapshotStore(str(tmp_path))
    kept = save(store, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(SnapshotError, match=r"2-c0ffee\.npz.*too large"):
            save(store, 2, arrays={"weights": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in Path(kept.path).parent.iterdir()] == ["1-c0ffee.npz"]
    assert store.verify(kept)["seq"] == 1


def test_check_leaves_no_file(location):
    store = SnapshotStore(location)
    store.check()
    filesystem, root = fsspec.url_to_fs(location)
    assert filesystem.find(root) == []


def test_check_removes_the_folders_that_it_creates_and_no_others(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    SnapshotStore(str(kept)).check()
    SnapshotStore(str(kept / "a" / "b")).check()
    assert list(tmp_path.rglob("*")) == [kept]


def test_a_check_that_cannot_read_leaves_no_file(tmp_path, monkeypatch):
    def fail(self, path):
        raise OSError("input/output error")

    monkeypatch.setattr(LocalFileSystem, "cat_file", fail)
    with pytest.raises(SnapshotError, match="input/output error"):
        SnapshotStore(str(tmp_path / "a")).check()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("location", ["nosuch://bucket/x", "s3a9://x"])
def test_an_unknown_protocol_is_a_usage_error(location):
    with pytest.raises(UsageError, match=r"snapshot\.location"):
        SnapshotStore(location)


def test_keep_is_at_least_one(tmp_path):
    with pytest.raises(UsageError, match="keep"):
        SnapshotStore(str(tmp_path), keep=0)


class _Overwriting(MemoryFileSystem):
    """An object store that overwrites existing keys, although asked not to."""

    protocol = "overwriting"

    def put_file(self, lpath, rpath, callback=None, mode="overwrite", **options):
        self.pipe_file(rpath, Path(lpath).read_bytes())


def test_check_refuses_a_store_that_does_not_create_exclusively():
    fsspec.register_implementation("overwriting", _Overwriting, clobber=True)
    store = SnapshotStore(f"overwriting://{uuid.uuid4().hex}")
    with pytest.raises(SnapshotError, match="an existing key was overwritten"):
        store.check()
