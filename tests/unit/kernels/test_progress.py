"""Lines about the progress of a compilation: one per step, then one per interval in which something has changed."""

from __future__ import annotations

import queue
import threading

from streamlearn.kernels.progress import Progress


def test_a_step_is_reported_at_once_and_then_when_the_count_changes() -> None:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    counted: queue.SimpleQueue[int] = queue.SimpleQueue()
    count = [0]

    def count_kernels() -> int:
        counted.put(count[0])
        return count[0]

    progress = Progress(lines.put, count_kernels, 7, interval_seconds=0.001)
    with progress:
        progress.begin("waiting")
        progress.begin("compiling")
        while counted.qsize() < 20:
            assert counted.get(timeout=120) == 0
            if lines.qsize() == 2 and counted.qsize() > 5:
                break
        count[0] = 3
        found = [lines.get(timeout=120) for _ in range(3)]
        count[0] = 9
        found.append(lines.get(timeout=120))
    assert found == ["waiting: 0 of 7", "compiling: 0 of 7", "compiling: 3 of 7", "compiling: 9 of 9"]
    assert lines.empty()
    assert "compilation progress" not in {thread.name for thread in threading.enumerate()}


def test_without_a_known_total_the_count_stands_alone() -> None:
    lines: list[str] = []
    with Progress(lines.append, lambda: 4, 0) as progress:
        progress.begin("compiling")
    assert lines == ["compiling: 4"]
