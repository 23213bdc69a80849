"""Points of the worker's loop at which a test kills the worker, as a power failure would.

The product has no hooks for this: the process that a test starts wraps the one call that a point names, and only when
that point is armed. A point whose call no longer exists fails when it is armed, and a point that is never reached
leaves a worker that is not killed.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Callable
from typing import Any, Literal, NamedTuple


class Point(NamedTuple):
    """A point before or after a call; ``counts`` returns whether a call counts, from its arguments and result."""

    call: str
    side: Literal["before", "after"]
    counts: Callable[[tuple[Any, ...], Any], bool] = lambda arguments, result: True


def _has_records(arguments: tuple[Any, ...], result: Any) -> bool:
    return bool(result)


def _writes(arguments: tuple[Any, ...], result: Any) -> bool:
    return "w" in arguments[1:]


def _temporary(arguments: tuple[Any, ...], result: Any) -> bool:
    return arguments[0].name.endswith(".tmp")


POINTS: dict[str, Point] = {
    # the loop, in its order
    "polled": Point("streamlearn.kafka.source:KafkaSource.poll", "after", _has_records),
    "applied": Point("streamlearn.engine.tasks.batch:Batch.run", "after"),
    "transaction begun": Point("kafka:KafkaProducer.begin_transaction", "after"),
    "outputs sent": Point("kafka:KafkaProducer.flush", "before"),
    "outputs flushed": Point("kafka:KafkaProducer.flush", "after"),
    "offsets sent": Point("kafka.producer.transaction_manager:TransactionManager.begin_commit", "before"),
    "commit asked for": Point("kafka.producer.transaction_manager:TransactionManager.begin_commit", "after"),
    "commit answered": Point("kafka.producer.transaction_manager:EndTxnHandler.handle_response", "before"),
    "committed": Point("streamlearn.kafka.sink:KafkaSink.commit", "after"),
    # recovery
    "taken over": Point("kafka:KafkaProducer.init_transactions", "after"),
    "settled": Point("streamlearn.kafka.sink:KafkaSink.open", "after"),
    "replaying": Point("streamlearn.engine.recovery.replay:Replay.apply", "after"),
    "restored": Point("streamlearn.engine.recovery.restore:Restore.run", "after"),
    # snapshots
    "snapshot taken": Point("streamlearn.engine.recovery.snapshot_writer:SnapshotWriter.take", "after"),
    "snapshot half written": Point("zipfile:ZipFile.open", "after", _writes),
    "snapshot before its rename": Point("pathlib:Path.replace", "before", _temporary),
    "snapshot after its rename": Point("pathlib:Path.replace", "after", _temporary),
}


def find_call(point: Point) -> tuple[Any, str]:
    """Return the module or class that has a point's call, and the attribute's name."""
    module, _, path = point.call.partition(":")
    *parents, attribute = path.split(".")
    owner = functools.reduce(getattr, parents, importlib.import_module(module))
    return owner, attribute


def arm(armed: str) -> None:
    """Send this process a signal when it reaches a point.

    ``armed`` is ``<point>:<hits>:<signal>``; by default the first hit and SIGKILL.

    Raises
    ------
    KeyError, AttributeError, ModuleNotFoundError
        When the point does not exist, or its call no longer does.
    """
    name, *rest = armed.split(":")
    point = POINTS[name]
    left = int(rest[0]) if rest else 1
    sent = signal.Signals[rest[1]] if rest[1:] else signal.SIGKILL
    owner, attribute = find_call(point)
    call = getattr(owner, attribute)

    @functools.wraps(call)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        before = point.side == "before"
        result = None if before else call(*arguments, **named)
        if point.counts(arguments, result):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), sent)
        return call(*arguments, **named) if before else result

    setattr(owner, attribute, wrapped)
