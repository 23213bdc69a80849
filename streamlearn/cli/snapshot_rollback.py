"""Rollback on Kafka, for ``streamlearn snapshot rollback``."""

from __future__ import annotations

from streamlearn.cleanup import Cleanup
from streamlearn.cli.output import echo
from streamlearn.cli.time_options import format_time
from streamlearn.engine.recovery.rollback import roll_back
from streamlearn.engine.recovery.rollback_plan import RollbackPlan, SnapshotChoice, plan_rollback
from streamlearn.kafka.admin.group_checks import EXPIRY_MARGIN_SECONDS
from streamlearn.kafka.admin.reachability import check_reachable
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore


def roll_back_on_kafka(settings: Settings, name: str, until_ns: int | None, task: int, *, do: bool) -> None:
    """Print what a rollback does and, with ``do``, roll back.

    Parameters
    ----------
    settings:
        The settings of the workers.
    name:
        The snapshot's sequence, file name or path; empty with ``until_ns``.
    until_ns:
        Instead: the newest snapshot taken at or before this time, in nanoseconds since the epoch.
    task:
        The partition whose model goes back in scope ``partition``, else 0.
    do:
        Whether to roll back.

    Raises
    ------
    StreamlearnError
        When the rollback is not possible; nothing was changed.
    """
    check_reachable(settings)
    store = SnapshotStore(settings.snapshot.location)
    # A member name of its own keeps the command from replacing a live worker in the group. In scope ``partition`` the
    # command keeps the worker's transactional id, which also carries the worker's permissions.
    member = settings.worker.model_copy(update={"name": f"{settings.worker.name}-rollback"})
    source = KafkaSource(settings.model_copy(update={"worker": member}))
    observer = source.observer()
    with Cleanup(lambda: source.close(leave=False), lambda: observer.close(leave=False)):
        plan = plan_rollback(settings, observer, store, task, SnapshotChoice(name, until_ns))
        _echo_plan(plan)
        if not do:
            members = source.members()
            if members:
                echo(f"running workers: {', '.join(sorted(members))}; --yes refuses while there are any")
            echo("nothing was changed; --yes rolls back")
            return
        wait_seconds = settings.kafka.session_timeout_ms / 1000 + EXPIRY_MARGIN_SECONDS
        mark = roll_back(settings, source, KafkaSink(settings), plan, wait_seconds=wait_seconds)
    echo(f"rolled back: task {plan.task} is at {mark}; start the workers")


def _echo_plan(plan: RollbackPlan) -> None:
    taken = f"taken {format_time(plan.taken_ns // 1_000_000)}" if plan.taken_ns else "taken at an unknown time"
    echo(f"task {plan.task} is at {plan.before}")
    echo(f"back to {plan.entry.path}, {taken}, {plan.learned:,} rows learnt")
    if plan.forgotten is None:
        echo(
            "a rollback or an upgrade since then began with another snapshot: this one belongs to a past that was left"
        )
    else:
        echo(f"the model forgets what it learnt from {plan.forgotten:,} records since then")
