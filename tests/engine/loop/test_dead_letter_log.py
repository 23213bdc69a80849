"""Dead letters leave a line in the log, at most one per reason and interval."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from streamlearn.engine.loop.dead_letter_log import INTERVAL_SECONDS, DeadLetterLog
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.errors import RecordError
from streamlearn.source.base import RawRecord
from tests.engine.world import World


def batch_of(*letters: tuple[int, str]) -> AppliedBatch:
    dead = [(RawRecord("topic", 1, offset, 0, None, b""), RecordError(reason, "text")) for offset, reason in letters]
    return AppliedBatch([], [], [], 0, 0, 0, 0, dead, 0, set(), set(), [], {}, 0, {})


def test_one_line_per_reason_and_interval_counts_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    moment = [0.0]
    log = DeadLetterLog(lambda: moment[0])
    log.add(batch_of((0, "not_json"), (1, "not_json"), (2, "too_large")))
    log.add(batch_of())
    log.add(batch_of((3, "not_json")))
    moment[0] = INTERVAL_SECONDS
    log.add(batch_of((4, "not_json")))
    assert [record.getMessage() for record in caplog.records] == [
        "2 dead letters with the reason not_json, the latest for topic[1]@1: text",
        "1 dead letters with the reason too_large, the latest for topic[1]@2: text",
        "2 dead letters with the reason not_json, the latest for topic[1]@4: text",
    ]


def test_a_worker_logs_its_dead_letters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    for _ in range(50):
        world.add(b"{bad")
        world.add({"x": {}})
    with caplog.at_level(logging.WARNING):
        world.run()
    (line,) = [record.getMessage() for record in caplog.records if "dead letter" in record.getMessage()]
    assert "with the reason not_json, the latest for instances[0]@" in line
    assert line.endswith("{bad")
