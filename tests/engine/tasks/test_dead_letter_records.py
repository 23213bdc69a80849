"""Records that cannot be used become dead letters with unchanged bytes, and the stream continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamlearn import __version__
from streamlearn.engine.observer import NullObserver
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.dead_letter_records import dead_letter
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import RecordError, TooManyBadRecordsError
from streamlearn.records.dead_letter import DeadLetter
from streamlearn.source.base import RawRecord
from tests.engine.world import START_NS, World, rows

BAD: list[tuple[str, bytes | None, dict[str, Any]]] = [
    ("empty_value", None, {}),
    ("not_utf8", b'{"x": {"a": "\xff"}}', {}),
    ("not_json", b"{bad", {}),
    ("wrong_type", b'{"x": {"a": 1}, "y": [1]}', {}),
    ("missing_field", b'{"y": []}', {}),
    ("not_finite", b'{"x": {"a": NaN}}', {}),
    ("too_large", b'{"x": {"a": "' + b"a" * 400 + b'"}}', {}),
    ("too_many_labels", b'{"x": {}, "y": ["a", "b", "c", "d", "e"]}', {}),
    ("id_too_long", b'{"id": "iiiiiiiiiiiiiiiiiiiii", "x": {}}', {}),
]
LIMITS = {"record_bytes": 400, "labels_per_record": 4, "id_bytes": 20}


@pytest.mark.parametrize(("reason", "value"), [(reason, value) for reason, value, _ in BAD])
def test_bad_record_in_the_middle(tmp_path: Path, reason: str, value: bytes | None) -> None:
    world = World(tmp_path, limits=LIMITS)
    for row in rows(5):
        world.add(row)
    world.log.append(
        "instances", 0, value, key=b"key", timestamp_ms=START_NS // 1_000_000, headers=[("mine", b"\x00\xff")]
    )
    for row in rows(5, seed=8):
        world.add(row)
    world.run()
    assert len(world.predictions()) == 10
    (letter,) = world.read("dead-letters")
    assert (letter.key, letter.value, letter.headers[0]) == (b"key", value, ("mine", b"\x00\xff"))
    header = DeadLetter.from_headers(list(letter.headers))
    assert (header.topic, header.partition, header.offset, header.reason) == ("instances", 0, 5, reason)
    assert (header.timestamp, header.version) == (START_NS // 1_000_000, __version__)
    assert header.text


def test_value_too_large_to_write_again_becomes_a_pointer(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add(b'{"x": {"a": "' + b"a" * (1 << 20) + b'"}}')
    world.run()
    (letter,) = world.read("dead-letters")
    assert (letter.key, letter.value) == (b"", None)
    header = DeadLetter.from_headers(list(letter.headers))
    assert (header.reason, header.offset) == ("too_large", 0)
    assert "streamlearn.pointer" in dict(letter.headers)


def test_a_dead_letter_without_key_and_value_can_be_written(tmp_path: Path) -> None:
    """The client refuses to write a record without both, and the worker would stop at it after every restart."""
    world = World(tmp_path)
    world.log.append("instances", 0, None, timestamp_ms=START_NS // 1_000_000)
    world.run()
    (letter,) = world.read("dead-letters")
    assert (letter.key, letter.value) == (b"", None)
    assert DeadLetter.from_headers(list(letter.headers)).reason == "empty_value"


def test_missing_id_is_partition_and_offset_and_integers_become_text(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add({"x": {"a": 1}})
    world.add({"id": 17, "x": {"a": 1}})
    world.run()
    assert [json.loads(value)["id"] for value in world.predictions()] == ["0-0", "17"]


def test_too_large_a_share_of_bad_records_stops_with_nothing_lost(tmp_path: Path) -> None:
    world = World(tmp_path, limits={"bad_window": 20})
    for row in rows(100):
        world.add(row)
    for _ in range(100):
        world.add(b"{bad")
    with pytest.raises(TooManyBadRecordsError, match=r"20 of the last 20 records could not be used .*not_json"):
        world.run()
    committed = next(iter(world.log.committed.values())).offset
    assert len(world.predictions()) + len(world.dead()) == committed
    assert len(world.dead()) <= 11
    world.change(limits={"bad_window": 20, "bad_share": 1.0})
    world.run()
    assert (len(world.predictions()), len(world.dead())) == (100, 100)


@pytest.mark.parametrize("store", [True, False], ids=["snapshots", "journal"])
def test_restarts_after_too_many_bad_records_commit_no_more_letters(tmp_path: Path, store: bool) -> None:
    world = World(tmp_path, limits={"bad_window": 20}, engine={"batch_instances": 3})
    for row in rows(30):
        world.add(row)
    for _ in range(100):
        world.add(b"{bad")
    letters = []
    for _ in range(4):
        with pytest.raises(TooManyBadRecordsError):
            world.run(store=store)
        letters.append(len(world.dead()))
    assert letters == [9] * 4, "whole batches of 3, below 11 of 20"
    # Without new records nothing is judged.
    end = len(world.read("instances"))
    world.change(limits={"bad_share": 1.0})
    world.run(store=store)
    world.change(limits={"bad_share": 0.5})
    assert world.run(store=store).tasks[0].positions == {("instances", 0): end}
    world.add(b"{bad")
    with pytest.raises(TooManyBadRecordsError):
        world.run(store=store)


@pytest.mark.parametrize("batch", [7, 40, 500])
def test_half_bad_is_not_too_much_with_any_batch_size(tmp_path: Path, batch: int) -> None:
    world = World(tmp_path, limits={"bad_window": 20}, engine={"batch_instances": batch})
    for row in rows(60):
        world.add(row)
        world.add(b"{bad")
    world.run()
    assert (len(world.predictions()), len(world.dead())) == (60, 60)


def test_duplicate_labels_are_not_bad_records(tmp_path: Path) -> None:
    world = World(tmp_path, topics={"labels": "labels"}, limits={"bad_window": 10})
    world.add({"id": "1", "x": {}})
    for _ in range(30):
        world.add({"id": "1", "y": ["news"]}, topic="labels")
    world.run()
    assert [reason for reason, _ in world.dead()] == ["duplicate_label"] * 29


def test_a_dead_letter_always_has_a_key_or_a_value_and_headers_keep_null() -> None:
    error = RecordError("empty_value", "the record has no value")
    nothing = RawRecord("instances", 0, 7, 0, None, None, (("mine", None), ("streamlearn.replayed", None)))
    letter = dead_letter(nothing, error, "dead-letters")
    assert (letter.key, letter.value, letter.headers[0]) == (b"", None, ("mine", None))
    assert DeadLetter.from_headers(list(letter.headers)).replayed == 0
    large = dead_letter(nothing._replace(value=b"a" * 1_000_000), error, "dead-letters")
    assert (large.key, large.value) == (b"", None)
    assert DeadLetter.from_headers(list(large.headers)).size == 1_000_000


@pytest.mark.parametrize("what", ["key", "headers"])
def test_key_and_headers_that_are_too_large_are_left_out(what: str) -> None:
    large = b"a" * 1_000_000
    record = RawRecord("instances", 1, 7, 0, b"key", b"{bad", (("mine", b"1"), ("streamlearn.replayed", b"1")))
    record = record._replace(key=large) if what == "key" else record._replace(headers=(*record.headers, ("b", large)))
    letter = dead_letter(record, RecordError("not_json", "bad"), "dead-letters")
    size = len(letter.key or b"") + len(letter.value or b"") + sum(len(n) + len(v or b"") for n, v in letter.headers)
    assert size < 1_000
    header = DeadLetter.from_headers(list(letter.headers))
    assert (header.offset, header.size, header.replayed, header.reason) == (7, 4, 1, "not_json")
    assert header.pointer is not None
    assert header.pointer.startswith("key, value and headers")


def test_replayed_records_that_are_refused_again_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    counted: list[int] = []

    class Counting(NullObserver):
        def on_applied(self, task: Task, applied: AppliedBatch, learn_seconds: float) -> None:
            counted.append(applied.replayed)

    for headers in ((), [("streamlearn.replayed", b"2")]):
        world.log.append("instances", 0, b"{bad", timestamp_ms=START_NS // 1_000_000, headers=headers)
    world.engine(observer=Counting()).run(stop_at_end=True)
    assert counted == [1]
    rounds = [DeadLetter.from_headers(list(letter.headers)).replayed for letter in world.read("dead-letters")]
    assert rounds == [0, 2]
