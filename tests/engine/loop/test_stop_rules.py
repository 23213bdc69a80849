"""What stops a worker, or must not: unreachable brokers, failures that stay, a clock that is set back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.loop import retry
from streamlearn.errors import NameTakenError, RetryableError, StopError
from tests.engine.world import START_NS, Faults, World, rows


def make_world(folder: Path, count: int = 60, **sections: dict) -> World:
    world = World(folder, **sections)
    for moment, row in enumerate(rows(count)):
        world.add(row, timestamp_ms=START_NS // 1_000_000 + moment)
    return world


def batches(world: World) -> list[dict[str, Any]]:
    return [record for record in world.journal() if record["type"] == "batch"]


@pytest.mark.parametrize("recovers", [True, False])
def test_unreachable_brokers_stop_an_idle_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, recovers: bool
) -> None:
    caplog.set_level(logging.INFO)
    world = make_world(tmp_path, kafka={"unavailable_timeout_seconds": 60.0 if recovers else 0.05})
    monkeypatch.setattr(retry, "ASK_SECONDS", 0.01)
    engine = world.engine()
    asked = 0

    def ask() -> None:
        nonlocal asked
        if len(world.predictions()) < 60:
            return
        asked += 1
        if not recovers or asked < 3:
            raise RetryableError("no broker answers")
        if asked == 5:
            engine.stop()

    monkeypatch.setattr(world.source, "check_reachable", ask)
    if recovers:
        engine.run()
        messages = [record.message.partition(" (silent")[0] for record in caplog.records]
        assert messages.count("no broker answers; waiting") == 2
        assert messages.count("a broker answers again") == 1
    else:
        with pytest.raises(StopError, match=r"none has for .* longer than kafka.unavailable_timeout_seconds = 0.05: "):
            engine.run()
    assert len(world.predictions()) == 60
    world.add(rows(61)[60])
    world.run()
    assert len(world.predictions()) == 61


def test_commits_that_fail_for_too_long_stop_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path, kafka={"unavailable_timeout_seconds": 0.03})
    monkeypatch.setattr(retry, "LONGEST_BACKOFF_SECONDS", 0.01)

    class Always(Faults):
        def at(self, point: str) -> None:
            if point == "before commit":
                raise RetryableError("the broker is away")

    with pytest.raises(StopError, match=r"\(kafka.unavailable_timeout_seconds = 0.03\), the last: RetryableError"):
        world.run(Always())
    assert world.predictions() == []
    world.run()
    assert len(world.predictions()) == 60


def test_a_clock_that_goes_back_stops_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = make_world(tmp_path, engine={"batch_instances": 10})
    times = (5, 6, 7, -3_600, -3_599, 8, 9)
    world.clock = lambda: START_NS + times[len(batches(world))] * 1_000_000_000  # type: ignore[method-assign]
    engine = world.run()
    assert [(record["now"] - START_NS) // 1_000_000_000 for record in batches(world)] == [5, 6, 7, 7, 7, 8]
    (logged,) = [record.message for record in caplog.records if "clock" in record.message]
    assert "the clock went back by 3607 s" in logged
    again = world.run(store=False).tasks[0]
    assert again.model.state_hash() == engine.tasks[0].model.state_hash()


def test_a_worker_whose_clock_is_behind_journals_no_time_before_the_watermark(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    before = world.run().tasks[0].pending.watermark_ms
    assert before == START_NS // 1_000_000 + 59
    world.clock = lambda: START_NS - 3_600_000_000_000  # type: ignore[method-assign]
    world.add(rows(61)[60])
    world.run()
    assert world.journal()[-1]["now"] >= before * 1_000_000


def test_a_part_of_the_partitions_is_refused_where_one_model_needs_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brokers share them out when a member of the group does not use the workers' assignor."""
    world = make_world(tmp_path)
    engine = world.engine()
    monkeypatch.setattr(world.source, "partitions", lambda topic: 2)
    with pytest.raises(StopError, match="gives this worker 1 of the 2 partitions of instances"):
        engine.run()
    assert world.predictions() == []


def test_the_error_that_stops_a_worker_is_not_replaced_by_those_of_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first error decides the exit status: that of a worker whose name was taken is its own."""
    world = make_world(tmp_path)
    engine = world.engine(Faults("poll", 3, lambda: NameTakenError("another worker has the name")))
    closed: list[str] = []

    def fail(name: str) -> None:
        closed.append(name)
        raise StopError(f"{name} cannot be closed")

    monkeypatch.setattr(world.sink, "close", lambda: fail("sink"))
    monkeypatch.setattr(world.source, "close", lambda *, leave: fail("source"))
    with pytest.raises(NameTakenError):
        engine.run()
    assert closed == ["sink", "source"]
    assert [record.message for record in caplog.records if "closed" in record.message] == [
        f"cleaning up after NameTakenError: StopError: {name} cannot be closed" for name in closed
    ]


def test_a_producer_that_cannot_be_closed_after_a_failure_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    engine = world.engine(Faults("before commit", 2, lambda: RetryableError("no broker answers")))
    close, closed = world.sink.close, 0

    def fail_once() -> None:
        nonlocal closed
        closed += 1
        close()
        if closed == 1:
            raise StopError("the producer cannot be closed")

    monkeypatch.setattr(world.sink, "close", fail_once)
    engine.run(stop_at_end=True)
    assert len(world.predictions()) == 60
    assert closed > 1
