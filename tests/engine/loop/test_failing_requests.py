"""Any request to a broker may fail at any moment: the worker goes on, and its outputs are those of a quiet run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.loop import retry
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.observer import NullObserver
from streamlearn.errors import RetryableError
from streamlearn.source.base import RangeReader, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import (
    GROUP,
    LINEAGE,
    Faults,
    FaultyObserver,
    FaultySink,
    WaitingSource,
    World,
    rows,
)

COUNT, BEFORE = 200, 80
REQUESTS = ("open", "poll", "check_reachable", "bounds", "committed", "ends", "partitions", "topic_id", "reader")
IN_A_RESTORE = ("keep_alive", "read_to")


class _Reader:
    """A reader that fails where `Faults` says."""

    def __init__(self, reader: RangeReader, faults: Faults) -> None:
        self._reader, self._faults = reader, faults

    def read_to(self, end: int) -> list[RawRecord]:
        self._faults.at("read_to")
        return self._reader.read_to(end)

    def follow(self, timeout_seconds: float) -> list[RawRecord]:
        return self._reader.follow(timeout_seconds)

    def close(self) -> None:
        self._reader.close()


class FailingSource(MemorySource):
    """A memory source whose every request fails where `Faults` says; a failed poll has moved the positions."""

    faults: Faults

    def reader(self, partition: TopicPartition, start: int) -> Any:
        self.faults.at("reader")
        return _Reader(super().reader(partition, start), self.faults)

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        polled = super().poll(timeout_seconds, limit)
        self.faults.at("poll")
        return polled


def _failing(name: str) -> Callable[..., Any]:
    def request(self: FailingSource, *arguments: Any) -> Any:
        self.faults.at(name)
        return getattr(MemorySource, name)(self, *arguments)

    return request


for _name in {*REQUESTS, *IN_A_RESTORE} - {"poll", "reader", "read_to"}:
    setattr(FailingSource, _name, _failing(_name))


class _Counting(NullObserver):
    """Counts failures, and lags that are known and unknown."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.retries: list[str] = []
        self.lags: list[int | None] = []

    def on_failure(self, what: str, error: Exception) -> None:
        self.failures.append(what)

    def on_retry(self, what: str) -> None:
        self.retries.append(what)

    def on_lag(self, records: int | None, seconds: float | None) -> None:
        self.lags.append(records)


def run(world: World, faults: Faults) -> tuple[Engine, _Counting]:
    observer = _Counting()
    source = FailingSource(world.log, ["instances"], GROUP)
    source.faults = faults
    engine = Engine(
        world.settings,
        source,
        FaultySink(world.log, Faults()),
        observer=observer,
        clock=world.clock,
        lineage=lambda: LINEAGE,
    )
    engine.run(stop_at_end=True)
    return engine, observer


def restarted(folder: Path) -> World:
    """Return a world whose first worker has ended in mid-stream, without a snapshot."""
    world = World(folder)
    for row in rows(COUNT)[:BEFORE]:
        world.add(row)
    world.run(store=False)
    for row in rows(COUNT)[BEFORE:]:
        world.add(row)
    return world


def test_only_requests_to_stay_in_the_group_are_counted_as_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []

    def keep_alive(self: FailingSource) -> bool:
        calls.append(True)
        if len(calls) == 1:
            raise RetryableError("no broker answers")
        return False

    monkeypatch.setattr(FailingSource, "keep_alive", keep_alive)
    _, observer = run(restarted(tmp_path), Faults())
    assert len(calls) > 1
    assert (observer.failures, observer.retries) == (["keep_alive"], [])


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], str]:
    world = restarted(tmp_path_factory.mktemp("quiet"))
    engine, _ = run(world, Faults())
    return world.predictions(), engine.tasks[0].model.state_hash()


@pytest.mark.parametrize(
    ("request_name", "times"),
    [
        *((name, 1) for name in (*REQUESTS, *IN_A_RESTORE)),
        *((name, times) for name in ("poll", "bounds", "ends") for times in (2, 3)),
    ],
)
def test_a_request_that_fails_is_repeated(
    tmp_path: Path,
    quiet: tuple[list[bytes], str],
    request_name: str,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "ASK_SECONDS", 0.0)
    monkeypatch.setattr("streamlearn.engine.loop.engine.LAG_SECONDS", 0.0)
    monkeypatch.setattr("streamlearn.engine.loop.engine.ASK_SECONDS", 0.0)
    faults = Faults(request_name, times, lambda: RetryableError(f"{request_name}: no broker answers"))
    world = restarted(tmp_path)
    if request_name == "check_reachable":
        # Brokers are asked when a poll gives nothing.
        monkeypatch.setattr(world.log, "wait", lambda seconds, ready: None)
        polls: list[int] = []
        gives = FailingSource.poll

        def poll(self: FailingSource, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
            polls.append(limit)
            return gives(self, timeout_seconds, limit) if len(polls) % 2 else {}

        monkeypatch.setattr(FailingSource, "poll", poll)
    engine, observer = run(world, faults)
    assert faults.fired, "the request was not made"
    assert observer.failures, "the failure is counted"
    assert world.predictions() == quiet[0]
    assert engine.tasks[0].model.state_hash() == quiet[1]
    if request_name == "ends":
        assert None in observer.lags, "without an answer no lag is known"
    # The records of the next poll are an answer too, and the lag is reported three times only.
    is_repeated = (request_name, times) not in {("check_reachable", 1), ("ends", 3)}
    assert observer.retries == (observer.failures if is_repeated else [])


def test_a_failed_commit_of_lost_partitions_is_no_failure_of_the_next_commit(tmp_path: Path) -> None:
    """Or else that one, hours later, would be the second in a row, and stop the worker."""
    world = World(tmp_path, engine={"standby": "cold"})
    for row in rows(COUNT):
        world.add(row)
    faults = Faults("before commit", 2, lambda: RetryableError("no broker answers"))
    source = WaitingSource(world.log, ["instances"])

    class Rebalancing(FaultyObserver):
        def on_failure(self, what: str, error: Exception) -> None:
            super().on_failure(what, error)
            source.demote()

        def on_role(self, role: str, tasks: Any) -> None:
            super().on_role(role, tasks)
            if role == "stand-by":
                source.promote()

        def on_committed(self, tasks: Any, batch_seconds: float, commit_seconds: float) -> None:
            if len(world.predictions()) == COUNT:
                engine.stop()

    observer = Rebalancing(Faults())
    engine = Engine(world.settings, source, FaultySink(world.log, faults), observer=observer, clock=world.clock)
    engine.run()
    assert observer.roles == ["stand-by", "restoring", "active", "stand-by", "restoring", "active", "stopping"]
    assert observer.attempts == ["failed: commit"]
