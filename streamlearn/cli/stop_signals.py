"""SIGTERM and SIGINT: a stop that also takes effect while native code holds the main thread.

Python calls signal handlers in the main thread, between two steps of the interpreter. While kernels are compiled or run
or a library waits for a broker, that is seconds later. And the first process of a container, with process id 1, gets
only those signals for which it has a handler. So the handlers are set before anything slow, the interpreter writes the
number of each signal into a socket as it comes (`signal.set_wakeup_fd`), and a thread reads them from there.

This module imports nothing slow: it is imported before everything else.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType

_logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_SECONDS = 1.0
"""How long a stop may take that has nothing to save, before the process ends without it."""
DISCONNECT_SECONDS = 0.7
"""How much longer a stop may take that has come to disconnecting."""
_POLL_SECONDS = 0.05


class StopSignals:
    """Ends the process at a signal: at once, or, when there is something to save, after that.

    It is a context manager, in the main thread. In another thread it does nothing: Python does not allow it.

    Parameters
    ----------
    signals:
        The signals.
    status:
        Status of a process that ends without its main thread.
    loss:
        What such an end leaves undone, for the log; empty for nothing.
    end:
        Ends the process with a status.
    """

    def __init__(
        self,
        signals: Sequence[signal.Signals] = STOP_SIGNALS,
        *,
        status: int = 0,
        loss: str = "",
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._signals = signals
        self._status = status
        self._loss = loss
        self._end = end
        self._stop: Callable[[], None] | None = None
        self._can_end: Callable[[], bool] = lambda: True
        self._is_disconnecting: Callable[[], bool] = lambda: False
        self._describe_rest: Callable[[], str] = str
        self._handlers: dict[signal.Signals, object] = {}
        self._closed = False

    def hand_over(
        self,
        stop: Callable[[], None],
        can_end: Callable[[], bool],
        *,
        is_disconnecting: Callable[[], bool] = lambda: False,
        describe_rest: Callable[[], str] = str,
    ) -> None:
        """From now on call ``stop`` at a signal.

        ``stop`` makes the main thread end. While ``can_end`` returns true, which says that nothing is to be saved, the
        main thread has `GRACE_SECONDS` for it, and, while it disconnects, `DISCONNECT_SECONDS` more. Then the process
        ends; ``describe_rest`` returns what is left undone, for the log, or an empty text.
        """
        self._can_end, self._is_disconnecting, self._describe_rest = can_end, is_disconnecting, describe_rest
        self._stop = stop

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._read, self._write = socket.socketpair()
            self._write.setblocking(False)
            self._thread = threading.Thread(target=self._watch, name="stop signals", daemon=True)
            self._thread.start()
            self._wakeup_before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
            self._handlers = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._handlers:
            return
        self._closed = True
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup_before)
        self._write.close()
        self._thread.join()
        self._read.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal in the main thread: its number is in the socket already."""

    def _watch(self) -> None:
        """Run the thread: wait for signals, and end the process in time."""
        deadline: float | None = None
        while True:
            self._read.settimeout(None if deadline is None else _POLL_SECONDS)
            try:
                numbers = self._read.recv(16)
            except TimeoutError:
                numbers = None
            if numbers == b"":
                return
            # Another owner may have replaced the handler; then the signal is theirs.
            own = [n for n in numbers or () if n in self._signals and signal.getsignal(n) == self._note]
            if own:
                deadline = self._begin_to_stop(signal.Signals(own[0]).name, deadline)
            if deadline is not None and self._is_over(deadline) and self._can_end() and not self._closed:
                if rest := self._describe_rest():
                    _logger.info("%s", rest)
                if self._loss:
                    _logger.error("stopped: %s", self._loss)
                else:
                    _logger.info("stopped; there was nothing to save")
                self._end(self._status)

    def _is_over(self, deadline: float) -> bool:
        return time.monotonic() >= deadline + (DISCONNECT_SECONDS if self._is_disconnecting() else 0.0)

    def _begin_to_stop(self, name: str, deadline: float | None) -> float:
        """Call what stops the main thread; return when the process may end without it."""
        now = time.monotonic()
        if self._stop is None:
            return now
        if deadline is not None:
            return deadline
        _logger.info("%s: stopping after the current batch", name)
        self._stop()
        return now + GRACE_SECONDS
