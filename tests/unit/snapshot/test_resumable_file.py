"""A file whose reads are resumed after a failure."""

from __future__ import annotations

import io
import itertools
import uuid
from collections.abc import Callable
from typing import BinaryIO

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from streamlearn.errors import SnapshotError
from streamlearn.snapshot import resumable_file
from streamlearn.snapshot.resumable_file import ATTEMPTS, FIRST_PAUSE_SECONDS, ResumableFile
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash

CONTENT = bytes(range(256)) * 40


class _Breaking(io.BytesIO):
    """Returns what was asked for, or fails as ``breaks`` says: with an error, or with too few bytes."""

    def __init__(self, breaks: Callable[[], str]) -> None:
        super().__init__(CONTENT)
        self._breaks = breaks

    def read(self, size: int | None = -1) -> bytes:
        how = self._breaks()
        if how == "error":
            raise ConnectionResetError("reset by peer")
        return super().read(size)[: 7 if how == "short" else None]


def file_of(*breaks: str, pauses: list[float] | None = None, opened: list[BinaryIO] | None = None) -> ResumableFile:
    """Return a file whose reads fail one after the other as ``breaks`` says, and then succeed."""
    left = itertools.chain(breaks, itertools.repeat("whole"))

    def open_again() -> BinaryIO:
        made = _Breaking(lambda: next(left))
        if opened is not None:
            opened.append(made)
        return made

    return ResumableFile(open_again, (pauses if pauses is not None else []).append)


def test_a_failed_read_is_resumed_at_the_same_position() -> None:
    pauses: list[float] = []
    opened: list[BinaryIO] = []
    file = file_of("whole", "error", "short", "whole", "error", pauses=pauses, opened=opened)
    assert file.read(100) == CONTENT[:100]
    assert file.read(100) == CONTENT[100:200]
    assert file.tell() == 200
    assert file.read() == CONTENT[200:]
    assert file.read(1) == b""
    assert pauses == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS]
    assert len(opened) == 4
    assert [each.closed for each in opened] == [True, True, True, False]
    file.close()
    assert opened[-1].closed


def test_it_seeks_like_any_file() -> None:
    file = file_of()
    assert (file.seek(-5, 2), file.read()) == (len(CONTENT) - 5, CONTENT[-5:])
    assert (file.seek(10), file.seek(3, 1), file.read(2)) == (10, 13, CONTENT[13:15])
    with pytest.raises(ValueError, match="before the start of the file"):
        file.seek(-1)


def test_a_read_that_keeps_failing_raises() -> None:
    pauses: list[float] = []
    file = file_of(*["error"] * ATTEMPTS, pauses=pauses)
    with pytest.raises(SnapshotError, match=f"reading failed {ATTEMPTS} times at byte 0: reset by peer"):
        file.read(1)
    assert len(pauses) == ATTEMPTS - 1
    assert file.read(3) == CONTENT[:3]


def test_a_missing_file_is_reported_at_once() -> None:
    pauses: list[float] = []

    def open_missing() -> BinaryIO:
        raise FileNotFoundError("no such key")

    with pytest.raises(FileNotFoundError):
        ResumableFile(open_missing, pauses.append)
    assert pauses == []


class _Resetting(MemoryFileSystem):
    """An object store whose connections are reset at every other read."""

    protocol = "resetting"
    reads = 0
    resets = 0
    failing = False

    def _open(self, path, mode="rb", **options):
        found = super()._open(path, mode, **options)
        if mode != "rb":
            return found
        content = found.getvalue()
        store = self

        class Read(MemoryFile):
            def read(self, size=-1):
                type(store).reads += 1
                if store.reads % 2 == 0 or store.failing:
                    type(store).resets += 1
                    raise ConnectionResetError("reset by peer")
                return super().read(size)

        return Read(data=content)


def test_a_snapshot_comes_whole_through_resets_and_is_refused_when_they_do_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resumable_file, "FIRST_PAUSE_SECONDS", 1e-3)
    fsspec.register_implementation("resetting", _Resetting, clobber=True)
    store = SnapshotStore(f"resetting://{uuid.uuid4().hex}")
    arrays = {"weights": np.arange(3_000_000, dtype=np.float32), "counts": np.ones((3, 3))}
    entry = store.save("g", "l", 0, 1, "c0ffee", arrays, {})
    before = _Resetting.resets
    assert state_hash(store.read(entry)[1]) == state_hash(arrays)
    assert _Resetting.resets >= before + 3
    monkeypatch.setattr(_Resetting, "failing", True)
    with pytest.raises(SnapshotError, match=r"reading failed 5 times at byte .*: reset by peer"), store.open(entry):
        pass
