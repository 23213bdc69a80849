"""Ctrl-C while a model changes: held back until the change is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class HeldInterrupt:
    """Context in which Ctrl-C is noted, and raised as KeyboardInterrupt when the context ends.

    Without it, Ctrl-C would end a change of the model at any point. Programs that handle SIGINT by themselves, and
    threads other than the main one, which Python never interrupts, are left alone.

    Attributes
    ----------
    pending
        Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.pending = False
        self._holds = False

    def __enter__(self) -> HeldInterrupt:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._note)
            self._holds = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.pending and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending = True
