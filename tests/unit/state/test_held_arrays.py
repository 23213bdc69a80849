"""Arrays that another process holds are those of the moment, whatever their owner does; nothing is left behind."""

from __future__ import annotations

import io
import os
import signal

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.state import held_arrays
from streamlearn.state.arrays import StreamedArray, copy_arrays, state_hash
from streamlearn.state.held_arrays import HeldArrays, can_hold
from streamlearn.state.snapshot_format import read_snapshot, write_snapshot

pytestmark = pytest.mark.skipif(not can_hold(), reason="only Linux may fork a process that has threads")


def state() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    capacity = draw.random((3_000, 700), np.float32)
    return {
        "b.view": capacity[:2_500, :600],
        "a.whole": draw.random((700, 1_000)),
        "c.big_endian": np.arange(1_000, dtype=">i8").reshape(10, 100),
        "d.none": np.zeros((0, 4), np.int32),
        "e.one": np.array(7, np.int64),
        "f.flags": np.array([[True, False, True]]),
        "g.column": capacity[:1, :600].T,
    }


def filled(arrays: dict[str, StreamedArray]) -> dict[str, np.ndarray]:
    return {
        name: np.frombuffer(b"".join(array.chunks), array.dtype).reshape(array.shape) for name, array in arrays.items()
    }


def test_held_arrays_are_those_of_the_moment_and_give_the_same_file() -> None:
    arrays = state()
    copies = copy_arrays(arrays)
    held = HeldArrays(arrays)
    for array in arrays.values():
        array[...] = 1
    file, expected = io.BytesIO(), io.BytesIO()
    write_snapshot(file, held.arrays(), {"seq": 1})
    held.release()
    write_snapshot(expected, copies, {"seq": 1})
    assert file.getvalue() == expected.getvalue()
    _, read = read_snapshot(io.BytesIO(file.getvalue()))
    assert state_hash(read) == state_hash(copies)


def test_release_ends_the_process_even_when_nothing_was_read() -> None:
    held = HeldArrays(state())
    held.release()
    with pytest.raises(ProcessLookupError):
        os.kill(held._child, 0)


def test_process_that_is_killed_ends_the_reading_by_name() -> None:
    held = HeldArrays(state())
    os.kill(held._child, signal.SIGKILL)
    os.waitid(os.P_PID, held._child, os.WEXITED | os.WNOWAIT)
    with pytest.raises(SnapshotError, match=r"ended within array 'a\.whole'"):
        filled(held.arrays())
    held.release()


def test_process_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_arrays, "SILENCE_SECONDS", 0.1)
    held = HeldArrays(state())
    os.kill(held._child, signal.SIGSTOP)
    with pytest.raises(SnapshotError, match="gave nothing for"):
        filled(held.arrays())
    held.release()


def test_other_kinds_are_refused_before_anything_is_held() -> None:
    with pytest.raises(TypeError, match="'x' has dtype"):
        HeldArrays({"x": np.array(["text"])})
