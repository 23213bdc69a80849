"""Rolling back on Kafka: what ``streamlearn snapshot rollback`` does and says."""

from __future__ import annotations

import contextlib

import typer

from streamlearn.cli.time_options import time_of
from streamlearn.engine.recovery.rollback import roll_back
from streamlearn.engine.recovery.rollback_plan import RollbackPlan, SnapshotChoice, plan_rollback
from streamlearn.kafka.admin.reachability import check_admission
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore

LEAVING_SECONDS = 2.0
"""What the coordinator may take, beyond the session's time, to see that a member is gone."""


def roll_back_on_kafka(settings: Settings, name: str, until_ns: int | None, task: int, *, do: bool) -> None:
    """Say what a rollback would do, and, with ``do``, do it.

    Raises
    ------
    StreamlearnError
        When it cannot be done; nothing was changed.
    """
    check_admission(settings)
    store = SnapshotStore(settings.snapshot.location)
    # In scope ``partition`` the transactional id is the worker's, and so are its rights; in the group it is a member of
    # its own, so that it throws nobody out.
    member = settings.worker.model_copy(update={"name": f"{settings.worker.name}-rollback"})
    source = KafkaSource(settings.model_copy(update={"worker": member}))
    with contextlib.ExitStack() as stack:
        observer = source.observer()
        stack.callback(observer.close, leave=False)
        stack.callback(source.close, leave=False)
        plan = plan_rollback(settings, observer, store, task, SnapshotChoice(name, until_ns))
        _show(plan)
        if not do:
            members = source.members()
            if members:
                typer.echo(f"workers live: {', '.join(sorted(members))}; --yes refuses while they do")
            typer.echo("nothing was changed; --yes rolls back")
            return
        wait_seconds = settings.kafka.session_timeout_ms / 1000 + LEAVING_SECONDS
        after = roll_back(settings, source, KafkaSink(settings), plan, wait_seconds=wait_seconds)
    typer.echo(f"rolled back: task {plan.task} is at {after}; start the workers")


def _show(plan: RollbackPlan) -> None:
    taken = f"taken {time_of(plan.taken_ns // 1_000_000)}" if plan.taken_ns else "taken at an unknown time"
    typer.echo(f"task {plan.task} is at {plan.before}")
    typer.echo(f"back to {plan.entry.path}, {taken}, {plan.learned:,} rows learnt")
    if plan.forgotten is None:
        typer.echo("another rollback lies between: this snapshot is of what that one left aside")
    else:
        typer.echo(f"what {plan.forgotten:,} records since have changed in the model is forgotten")
