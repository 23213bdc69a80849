"""Upgrade on Kafka, for ``streamlearn upgrade``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from streamlearn.check.model_versions import describe_roads, find_roads
from streamlearn.engine.recovery.upgrade_stopped import upgrade_stopped
from streamlearn.engine.recovery.version_road import Road
from streamlearn.engine.tasks.task_scope import all_tasks
from streamlearn.errors import OtherVersionError
from streamlearn.kafka.admin.group_checks import EXPIRY_MARGIN_SECONDS
from streamlearn.kafka.admin.reachability import check_reachable
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore


def upgrade_on_kafka(settings: Settings, *, do: bool) -> Iterator[str]:
    """Yield what an upgrade does, a line each, and with ``do`` upgrade every model that needs it.

    Raises
    ------
    StreamlearnError
        When a model cannot be upgraded; those of the lines before are.
    """
    check_reachable(settings)
    store = SnapshotStore(settings.snapshot.location, settings.snapshot.keep)
    # A member name of its own keeps the command from replacing a live worker in the group. In scope ``partition`` the
    # command keeps the worker's transactional id, which also carries the worker's permissions.
    member = settings.worker.model_copy(update={"name": f"{settings.worker.name}-upgrade"})
    own = settings.model_copy(update={"worker": member})
    with contextlib.ExitStack() as stack:
        observer = KafkaSource(own).observer()
        stack.callback(observer.close, leave=False)
        roads = find_roads(settings, observer, store)
        yield from describe_roads(roads)
        if refused := [road.text for road in roads if road.road is Road.REFUSE]:
            raise OtherVersionError("; ".join(refused))
        waiting = [road for road in roads if road.road is Road.UPGRADE]
        if not waiting:
            yield "no model needs an upgrade: start the workers"
            return
        if not do:
            members = KafkaSource(own).members()
            if members:
                yield f"running workers: {', '.join(sorted(members))}; --yes refuses while there are any"
            yield "nothing was changed; --yes upgrades"
            return
        warm_up(settings)
        wait_seconds = settings.kafka.session_timeout_ms / 1000 + EXPIRY_MARGIN_SECONDS
        partitions = all_tasks(settings, observer)
        for road in waiting:
            result = upgrade_stopped(
                settings,
                observer,
                KafkaSource(own),
                KafkaSink(settings),
                store,
                road.task,
                partitions[road.task],
                wait_seconds=wait_seconds,
            )
            yield (
                f"task {road.task} is at {result.mark}, {result.rows:,} rows were learnt again; snapshot "
                f"{result.snapshot.path}"
            )
        yield "upgraded; start the workers"
