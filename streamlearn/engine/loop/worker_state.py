"""The states of a worker, and the transitions between them.

                     assigned                     revoked
    +----------+                +----------+ -------------> +---------+
    | STARTING | -------------> | ASSIGNED |                | REVOKED |
    +----------+                +----------+ <------------- +---------+
                                  |  |  |         assigned
                  no partitions   |  |  |   a batch is not settled
            +---------------------+  |  +----------------------+
            |                        | all batches are settled |
            v                        v                         v
    +-------------+             +---------+   commit failed  +----------+
    | STANDING_BY |             | RUNNING | ---------------> | SETTLING |
    +-------------+             +---------+ <--------------- +----------+
                                                 settled

STANDING_BY, RUNNING and SETTLING go to REVOKED when the group revokes the partitions, and to ASSIGNED when it assigns
partitions without revoking first. STARTING may go to REVOKED: the Kafka client reports an empty revocation before the
first assignment. Every state goes to STOPPING, and STOPPING to STOPPED.

Kafka Streams draws the same kind of machine for its ``StreamThread``.
"""

from __future__ import annotations

import logging
from enum import Enum

_logger = logging.getLogger(__name__)


class WorkerState(Enum):
    """What a worker is doing."""

    STARTING = "starting"  # has joined or joins the group, and has no assignment yet
    ASSIGNED = "assigned"  # has an assignment, and takes over or restores its tasks; repeated until it succeeds
    REVOKED = "revoked"  # has lost its assignment, and waits for the next one; nothing is applied or committed
    STANDING_BY = "standing by"  # has an assignment without partitions
    RUNNING = "running"  # applies and commits batches
    SETTLING = "settling"  # has applied a batch whose commit failed; finds out its outcome, and commits it again
    STOPPING = "stopping"  # takes the last snapshots and disconnects
    STOPPED = "stopped"


_S = WorkerState
_ON_CHANGE = {_S.ASSIGNED, _S.REVOKED, _S.STOPPING}
"""States that a change of assignment, or a stop, leads to from any state of a member of the group."""

TRANSITIONS: dict[WorkerState, set[WorkerState]] = {
    _S.STARTING: _ON_CHANGE,
    _S.ASSIGNED: {*_ON_CHANGE, _S.STANDING_BY, _S.RUNNING, _S.SETTLING},
    _S.REVOKED: _ON_CHANGE,
    _S.STANDING_BY: _ON_CHANGE,
    _S.RUNNING: {*_ON_CHANGE, _S.SETTLING},
    _S.SETTLING: {*_ON_CHANGE, _S.RUNNING},
    _S.STOPPING: {_S.STOPPING, _S.STOPPED},
    _S.STOPPED: set(),
}
"""The states that may follow each state."""


class StateMachine:
    """The state of one worker, which changes only along `TRANSITIONS`."""

    def __init__(self) -> None:
        self._state = WorkerState.STARTING

    @property
    def current(self) -> WorkerState:
        """The state."""
        return self._state

    @property
    def has_assignment(self) -> bool:
        """Whether the worker is a member of the group with an assignment, of partitions or of none."""
        return self._state in (_S.ASSIGNED, _S.STANDING_BY, _S.RUNNING, _S.SETTLING)

    @property
    def has_taken_over(self) -> bool:
        """Whether the worker holds the tasks of its assignment."""
        return self._state in (_S.STANDING_BY, _S.RUNNING, _S.SETTLING)

    def change_to(self, state: WorkerState) -> None:
        """Change the state.

        Raises
        ------
        RuntimeError
            When the transition is not legal: a fault in the engine.
        """
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(
                f"internal error: a worker that is {self._state.value} cannot become {state.value}; please report this"
            )
        if state is not self._state:
            _logger.debug("worker state: %s -> %s", self._state.name, state.name)
        self._state = state
