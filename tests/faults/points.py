"""Points of the worker's loop at which a test ends it as a power cut would.

Nothing of this is in the product: the process that a test starts wraps the one call that a point names, and only when
that point is armed. A point that names a call that is gone fails when it is armed, and one that is never reached shows
as a worker that is not killed.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Callable
from typing import Any, Literal, NamedTuple


class Point(NamedTuple):
    """The call that a point stands before or behind; ``counts`` says of a call whether it is one that is meant."""

    call: str
    side: Literal["before", "after"]
    counts: Callable[[tuple[Any, ...], Any], bool] = lambda arguments, result: True


def _gave_records(arguments: tuple[Any, ...], result: Any) -> bool:
    return bool(result)


def _writes(arguments: tuple[Any, ...], result: Any) -> bool:
    return "w" in arguments[1:]


def _temporary(arguments: tuple[Any, ...], result: Any) -> bool:
    return arguments[0].name.endswith(".tmp")


POINTS: dict[str, Point] = {
    # the loop, in its order
    "polled": Point("streamlearn.kafka.source:KafkaSource.poll", "after", _gave_records),
    "applied": Point("streamlearn.engine.tasks.task:Batch.run", "after"),
    "transaction begun": Point("kafka:KafkaProducer.begin_transaction", "after"),
    "outputs sent": Point("kafka:KafkaProducer.flush", "before"),
    "outputs flushed": Point("kafka:KafkaProducer.flush", "after"),
    "offsets sent": Point("kafka.producer.transaction_manager:TransactionManager.begin_commit", "before"),
    "commit asked for": Point("kafka.producer.transaction_manager:TransactionManager.begin_commit", "after"),
    "commit answered": Point("kafka.producer.transaction_manager:EndTxnHandler.handle_response", "before"),
    "committed": Point("streamlearn.kafka.sink:KafkaSink.commit", "after"),
    # coming back
    "taken over": Point("kafka:KafkaProducer.init_transactions", "after"),
    "settled": Point("streamlearn.kafka.sink:KafkaSink.open", "after"),
    "replaying": Point("streamlearn.engine.recovery.replay:Replay.apply", "after"),
    "restored": Point("streamlearn.engine.recovery.restore:Restore.run", "after"),
    # beside it
    "snapshot taken": Point("streamlearn.engine.recovery.snapshot_writer:SnapshotWriter.take", "after"),
    "snapshot half written": Point("zipfile:ZipFile.open", "after", _writes),
    "snapshot before its rename": Point("pathlib:Path.replace", "before", _temporary),
    "snapshot after its rename": Point("pathlib:Path.replace", "after", _temporary),
}


def called(point: Point) -> tuple[Any, str]:
    """Return where a point's call is, and its name there."""
    module, _, path = point.call.partition(":")
    *parents, attribute = path.split(".")
    owner = functools.reduce(getattr, parents, importlib.import_module(module))
    return owner, attribute


def arm(armed: str) -> None:
    """Let this process get a signal when it reaches a point for a number of times.

    ``armed`` is ``<point>:<hits>:<signal>``; without them, the first time and SIGKILL.

    Raises
    ------
    KeyError, AttributeError, ModuleNotFoundError
        When there is no such point, or no longer such a call.
    """
    name, *rest = armed.split(":")
    point = POINTS[name]
    left = int(rest[0]) if rest else 1
    sent = signal.Signals[rest[1]] if rest[1:] else signal.SIGKILL
    owner, attribute = called(point)
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
