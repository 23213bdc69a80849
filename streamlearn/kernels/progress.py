"""Progress of a warm-up: a line at each step, and while kernels are compiled one every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

INTERVAL_SECONDS = 5.0
"""Time between two lines of one step."""


class Progress:
    """Reports the step of a warm-up and how many kernels there are, from a thread, for as long as the context lasts.

    The thread also reports while native code compiles, or another process does.

    Parameters
    ----------
    report
        Called with a line of text.
    count
        Returns how many kernels are compiled.
    total
        Number of kernels when all are compiled; 0 if that is not known.
    interval_seconds
        Time between two lines of one step.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        count: Callable[[], int],
        total: int,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._report = report
        self._count = count
        self._total = total
        self._interval_seconds = interval_seconds
        self._step = ""
        self._line = ""
        # Guards the attributes above, and keeps the lines in order.
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="compilation progress", daemon=True)

    def begin(self, step: str) -> None:
        """Report a step; from now on the lines begin with its text."""
        with self._lock:
            self._step = step
            self._report_line()

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(self._interval_seconds):
            with self._lock:
                if self._step:
                    self._report_line()

    def _report_line(self) -> None:
        """Report the step and the count, unless the last line has said the same."""
        count = self._count()
        of_total = f" of {max(count, self._total)}" if self._total else ""
        line = f"{self._step}: {count}{of_total}"
        if line != self._line:
            self._line = line
            self._report(line)
