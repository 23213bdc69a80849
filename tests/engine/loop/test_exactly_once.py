"""Crashes and errors at every point of the loop: each instance is answered once, with the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamlearn.engine.commit import CommitPart, Outcome
from streamlearn.engine.loop import batch_applier, retry
from streamlearn.errors import RetryableError, StopError
from streamlearn.source.base import Source
from tests.engine.world import JOURNAL, Crash, Faults, World, rows

COUNT = 300
PASSED_ONCE = ("open", "read committed")
"""Points that an undisturbed run passes once."""
PASSED_OFTEN = ("before commit", "after commit", "poll", "applied", "committed")


def make_world(folder: Path, **sections: dict) -> World:
    world = World(folder, **sections)
    for row in rows(COUNT):
        world.add(row)
    return world


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], str]:
    world = make_world(tmp_path_factory.mktemp("uninterrupted"))
    engine = world.run()
    return world.predictions(), engine.tasks[0].model.state_hash()


def test_every_instance_is_answered_once_in_order(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run()
    offsets = [int(p.split(b'"offset":')[1].rstrip(b"}")) for p in world.predictions()]
    assert offsets == list(range(COUNT))


@pytest.mark.parametrize(
    ("point", "times"),
    [*((point, 1) for point in PASSED_ONCE), *((point, times) for point in PASSED_OFTEN for times in (1, 2, 4))],
)
def test_crash(tmp_path: Path, uninterrupted: tuple[list[bytes], str], point: str, times: int) -> None:
    world = make_world(tmp_path)
    with pytest.raises(Crash):
        world.run(Faults(point, times))
    engine = world.run()
    assert world.predictions() == uninterrupted[0]
    assert engine.tasks[0].model.state_hash() == uninterrupted[1]


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_a_worker_of_another_preset_is_restored_to_the_same_bits(tmp_path: Path, preset: str) -> None:
    sections = {"learner": {"preset": preset}}
    (tmp_path / "whole").mkdir()
    (tmp_path / "crashed").mkdir()
    whole, crashed = make_world(tmp_path / "whole", **sections), make_world(tmp_path / "crashed", **sections)
    one = whole.run()
    with pytest.raises(Crash):
        crashed.run(Faults("after commit", 2))
    other = crashed.run()
    assert crashed.predictions() == whole.predictions()
    assert other.tasks[0].model.state_hash() == one.tasks[0].model.state_hash()
    assert f'"preset":"{preset}"'.encode() in whole.predictions()[-1]


@pytest.mark.parametrize(
    ("point", "times"),
    [
        *((point, 1) for point in PASSED_ONCE),
        *((point, times) for point in ("before commit", "after commit", "poll") for times in (1, 3)),
    ],
)
@pytest.mark.parametrize("error", [RetryableError, OSError])
def test_error_that_passes(
    tmp_path: Path,
    uninterrupted: tuple[list[bytes], str],
    point: str,
    times: int,
    error: Callable[[], BaseException],
) -> None:
    world = make_world(tmp_path)
    faults = Faults(point, times, error)
    engine = world.run(faults)
    assert faults.fired
    assert world.predictions() == uninterrupted[0]
    assert engine.tasks[0].model.state_hash() == uninterrupted[1]


def test_part_that_was_not_committed_is_sent_again_byte_for_byte(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(Faults("before commit", 2, RetryableError))
    first, second = world.sink.requests[1:3]
    assert first == second
    assert first is not second
    assert len(world.sink.requests) == 1 + len(
        {record["seq"] for record in world.journal() if record["type"] == "batch"}
    )


def test_part_that_was_committed_unknown_to_us_is_not_sent_again(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(Faults("after commit", 2, RetryableError))
    batches = [record["seq"] for record in world.journal() if record["type"] == "batch"]
    assert batches == list(range(1, len(batches) + 1))
    assert len(world.sink.requests) == len(batches)


def test_a_failure_after_a_committed_part_was_settled_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, partitions=2, engine={"scope": "partition"})
    for number, row in enumerate(rows(40)):
        world.add(row, partition=number % 2)
    find_outcome = batch_applier.find_outcome
    outcomes: list[Outcome | None] = []

    def fail_at_the_second_part(source: Source, part: CommitPart) -> Outcome:
        if len(outcomes) == 1:
            outcomes.append(None)
            raise RetryableError("no answer")
        outcome = find_outcome(source, part)
        outcomes.append(outcome)
        return outcome

    monkeypatch.setattr(batch_applier, "find_outcome", fail_at_the_second_part)
    tasks = world.run(Faults("after commit", error=lambda: RetryableError("no answer"))).tasks
    assert outcomes == [Outcome.COMMITTED, None, Outcome.COMMITTED]
    assert len(world.predictions()) == 40
    # The journal offsets of both parts are known: snapshots refer to them.
    again = world.run().tasks
    assert {number: task.snapshot_seq for number, task in again.items()} == {n: t.mark.seq for n, t in tasks.items()}


def test_error_that_stays_stops_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)

    class Always(Faults):
        def at(self, point: str) -> None:
            if point == "before commit":
                raise RetryableError("the broker is away")

    engine = world.engine(Always())
    monkeypatch.setattr(retry, "LONGEST_BACKOFF_SECONDS", 0.001)
    with pytest.raises(
        StopError, match=r"200 failures in a row within .* the last: RetryableError: the broker is away"
    ):
        engine.run(stop_at_end=True)
    assert world.predictions() == []


def test_programming_error_is_not_tried_again(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(ZeroDivisionError):
        world.run(Faults("before commit", 1, ZeroDivisionError))


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_overtaken_worker_drops_its_part_and_restores(
    tmp_path: Path, uninterrupted: tuple[list[bytes], str], failures: int
) -> None:
    """The restore is attempted again when it fails."""
    world = make_world(tmp_path)

    class Overtaking(Faults):
        """While this worker's first commit fails, another worker applies and commits everything."""

        reads = 0

        def at(self, point: str) -> None:
            if point == "before commit" and not self.fired:
                self.fired = True
                own_sink = world.sink
                world.run()
                world.sink = own_sink
                raise RetryableError("fenced")
            if point == "read committed" and self.fired:
                self.reads += 1
                # The first read finds out that the worker was overtaken, the next ones begin a restore.
                if 2 <= self.reads < 2 + failures:
                    raise RetryableError("no answer")

    faults = Overtaking()
    engine = world.run(faults)
    assert faults.reads == 2 + failures
    assert world.predictions() == uninterrupted[0]
    assert engine.tasks[0].model.state_hash() == uninterrupted[1]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_answers_do_not_depend_on_the_batches(
    tmp_path: Path, uninterrupted: tuple[list[bytes], str], size: int
) -> None:
    world = make_world(tmp_path, engine={"batch_instances": size})
    engine = world.run()
    assert world.predictions() == uninterrupted[0]
    assert engine.tasks[0].model.state_hash() == uninterrupted[1]


def test_journal_tiles_the_input_and_ends_where_the_commit_does(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for times in (1, 2):
        with pytest.raises(Crash):
            world.run(Faults("after commit", times))
    world.run()
    reached, seq, rows_applied = 0, 0, 0
    for record in world.journal():
        if record["type"] != "batch":
            continue
        ((_, _, start, end),) = record["rng"]
        assert start == reached
        assert record["seq"] == seq + 1
        reached, seq, rows_applied = end, record["seq"], rows_applied + sum(record["n"])
    assert (reached, rows_applied) == (COUNT, COUNT)
    (committed,) = world.log.committed.values()
    assert committed.offset == reached
    assert committed.metadata == f"{seq}:{world.journal()[-1]['chain']}"
    assert world.journal()[0]["type"] == "lineage"
    assert world.read(JOURNAL)[0].offset == 0


def test_stop_ends_after_the_batch_with_a_snapshot(tmp_path: Path) -> None:
    world = make_world(tmp_path)

    class Stopping(Faults):
        def at(self, point: str) -> None:
            if point == "committed":
                engine.stop()

    engine = world.engine(Stopping())
    engine.run()
    assert len(world.predictions()) == 40
    (snapshot,) = tmp_path.rglob("*.npz")
    assert snapshot.name == f"1-{world.journal()[-1]['chain']}.npz"


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_a_producer_whose_transaction_failed_is_thrown_away(tmp_path: Path, point: str) -> None:
    """The client may leak its offsets into the next transaction."""
    world = World(tmp_path)
    for row in rows(100):
        world.add(row)
    faults = Faults(point, 2, lambda: OSError("the answer was lost"))
    world.run(faults)
    assert faults.passed["open"] == 2
    assert len(world.predictions()) == 100
