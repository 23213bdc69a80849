"""Snapshots of a gigabyte: how long answers wait, how much memory they take, how fast they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamlearn.snapshot.fork import can_fork
from tests.benchmarks.snapshots import measure


@pytest.mark.big_snapshots
@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_a_gigabyte_is_written_beside_answers_and_read_back_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = measure(1_000, 5, tmp_path, waiting=100_000)
    with capsys.disabled():
        print(json.dumps(figures, indent=1))  # noqa: T201
    # The thread's processor time: wall-clock time includes what else the machine does.
    assert max(figures["pause_ms_processor"]) < 20
    # The first batch waits for the pause, and for a copy of each page that it touches.
    assert max(figures["pages_copied_first"]) < 8_000
    copies_ms = max(figures["pages_copied_first"]) * figures["page_copy_us"] / 1_000
    assert max(figures["wait_ms_first_processor"]) < 20 + 1.5 * copies_ms
    # The benchmark changes the whole state within seconds.
    assert figures["memory_mb_peak"] < 1.75 * figures["memory_mb"]
    # Pending instances are unpacked from one array.
    assert figures["restore_memory_mb_peak"] < figures["restore_memory_mb"] + 100
