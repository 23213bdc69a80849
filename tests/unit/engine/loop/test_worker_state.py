"""The state machine of a worker changes along the drawn transitions and along no others."""

from __future__ import annotations

import itertools

import pytest

from streamlearn.engine.loop.worker_state import TRANSITIONS, StateMachine, WorkerState

S = WorkerState
PATHS = {
    S.STARTING: [],
    S.ASSIGNED: [S.ASSIGNED],
    S.REVOKED: [S.REVOKED],
    S.STANDING_BY: [S.ASSIGNED, S.STANDING_BY],
    S.RUNNING: [S.ASSIGNED, S.RUNNING],
    S.SETTLING: [S.ASSIGNED, S.RUNNING, S.SETTLING],
    S.STOPPING: [S.STOPPING],
    S.STOPPED: [S.STOPPING, S.STOPPED],
}
"""How each state is reached from the first one."""

LEGAL = {
    (S.STARTING, S.ASSIGNED),
    (S.STARTING, S.REVOKED),
    (S.ASSIGNED, S.ASSIGNED),
    (S.ASSIGNED, S.REVOKED),
    (S.ASSIGNED, S.STANDING_BY),
    (S.ASSIGNED, S.RUNNING),
    (S.ASSIGNED, S.SETTLING),
    (S.REVOKED, S.ASSIGNED),
    (S.REVOKED, S.REVOKED),
    (S.STANDING_BY, S.ASSIGNED),
    (S.STANDING_BY, S.REVOKED),
    (S.RUNNING, S.ASSIGNED),
    (S.RUNNING, S.REVOKED),
    (S.RUNNING, S.SETTLING),
    (S.SETTLING, S.ASSIGNED),
    (S.SETTLING, S.REVOKED),
    (S.SETTLING, S.RUNNING),
    *((state, S.STOPPING) for state in S if state is not S.STOPPED),
    (S.STOPPING, S.STOPPED),
}


def machine_in(state: WorkerState) -> StateMachine:
    machine = StateMachine()
    for step in PATHS[state]:
        machine.change_to(step)
    assert machine.current is state
    return machine


@pytest.mark.parametrize(("before", "after"), list(itertools.product(S, S)), ids=lambda state: state.name)
def test_only_legal_transitions_are_made(before: WorkerState, after: WorkerState) -> None:
    machine = machine_in(before)
    if (before, after) in LEGAL:
        machine.change_to(after)
        assert machine.current is after
    else:
        message = f"internal error: a worker that is {before.value} cannot become {after.value}"
        with pytest.raises(RuntimeError, match=message):
            machine.change_to(after)
        assert machine.current is before


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(S)


@pytest.mark.parametrize("state", S, ids=lambda state: state.name)
def test_what_a_state_says_of_the_assignment(state: WorkerState) -> None:
    machine = machine_in(state)
    assert machine.has_assignment == (state in {S.ASSIGNED, S.STANDING_BY, S.RUNNING, S.SETTLING})
    assert machine.has_taken_over == (state in {S.STANDING_BY, S.RUNNING, S.SETTLING})
