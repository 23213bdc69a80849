"""Exit statuses of the command line."""

from __future__ import annotations

import signal

FAILURE_STATUS = 1
USAGE_STATUS = 2
"""Nothing was done."""
NAME_TAKEN_STATUS = 3
"""A supervisor must not restart the worker: it would take the name back from the one that has it now."""
NOT_DRAINED_STATUS = 4
"""The worker has stopped, and a model has no snapshot at its committed point. A restart of the same release continues;
another one may not be able to."""
INTERRUPTED_STATUS = 130
TERMINATED_STATUS = 128 + signal.SIGTERM
"""Status with which a shell reports a process that SIGTERM has ended."""
