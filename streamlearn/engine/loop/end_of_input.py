"""Whether a worker has reached the end of its input, for a run that is to stop there, and what it waits for."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from streamlearn.engine.loop.worker_context import WorkerContext
from streamlearn.engine.loop.worker_state import WorkerState
from streamlearn.source.base import TopicPartition

_logger = logging.getLogger(__name__)

SILENT_SECONDS = 5.0
"""How long a worker that has nothing to apply waits for the end before it says so."""
REPEAT_SECONDS = 60.0


class EndOfInput:
    """Looks for the end of the input.

    Parameters
    ----------
    worker:
        The worker.
    ends:
        Where the log of each partition ended when it was first assigned; grows with the assignments.
    """

    def __init__(self, worker: WorkerContext, ends: Mapping[TopicPartition, int]) -> None:
        self._worker = worker
        self._ends = ends
        self._missing: list[tuple[TopicPartition, int]] = []
        self._speaks_at = 0.0

    def is_reached(self) -> bool:
        """Return whether everything that was there at the start is applied; log what is missing after a while."""
        worker = self._worker
        if worker.state.current is not WorkerState.RUNNING or not worker.buffer.is_empty:
            self._missing = []
            return False
        missing = [
            (partition, task.positions[partition])
            for task in worker.tasks.values()
            for partition in task.partitions
            if task.positions[partition] < self._ends.get(partition, 0) and not worker.source.at_end(partition)
        ]
        moment = time.monotonic()
        if missing != self._missing:
            self._missing, self._speaks_at = missing, moment + SILENT_SECONDS
        elif missing and moment >= self._speaks_at:
            self._speaks_at = moment + REPEAT_SECONDS
            for partition, position in missing:
                _logger.warning(
                    "stopping at the end waits for %s[%d]: it is applied up to offset %d, and its log ended at %d at "
                    "the start. A producer's transaction is open there, which ends when the producer commits or aborts "
                    "it, at the latest after its transaction.timeout.ms; or the brokers are slow",
                    partition.topic,
                    partition.partition,
                    position,
                    self._ends[partition],
                )
        return not missing
