"""Turns on an object that one call at a time may use, also where a call is interrupted by one of its own thread."""

from __future__ import annotations

import threading

from streamlearn.errors import ReentryError


class Turns:
    """Lets threads wait for each other, and refuses a call in the middle of another one of the same thread.

    A signal handler, a finalizer, and an object of the caller that a call uses, run in the thread of that call. To wait
    there for the call to end would be to wait forever.

    Examples
    --------
    >>> turns = Turns()
    >>> with turns.threads, turns.call():
    ...     pass

    Attributes
    ----------
    threads
        The lock that lets threads wait.
    """

    def __init__(self) -> None:
        # Two locks that are written in C, so that a signal handler which raises an error leaves neither of them taken.
        # The outer one lets its own thread pass, so that nothing waits if a signal comes between the two.
        self.threads = threading.RLock()
        self._call = threading.Lock()

    def call(self) -> threading.Lock:
        """Return the lock of a call, which is free; `threads` must be held.

        Raises
        ------
        ReentryError
            When the thread is in the middle of another call.
        """
        if self._call.locked():
            raise ReentryError(
                "the classifier is in the middle of another call of this thread, which a signal handler, drift "
                "detector, file or finalizer of your own interrupts: set a flag there, and use the classifier when "
                "that call has returned"
            )
        return self._call
