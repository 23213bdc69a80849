"""A run that is to stop at the end says what it waits for, and stops when that has come."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from streamlearn.engine.loop import end_of_input
from streamlearn.engine.loop.engine import Engine
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import World, rows


class HoldingSource(MemorySource):
    """A memory source that withholds the records from an offset on until it is released."""

    held_from = 5
    is_released = False

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        if not self.is_released and self._positions.get(TopicPartition("instances", 0), 0) >= self.held_from:
            return {}
        return super().poll(timeout_seconds, limit if self.is_released else 1)


def test_a_wait_for_the_end_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_of_input, "SILENT_SECONDS", 0.0)
    world = World(tmp_path)
    for row in rows(8):
        world.add(row)
    world.engine()
    source = HoldingSource(world.log, ["instances"], "group")

    class Releasing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            source.is_released |= "stopping at the end waits for" in record.getMessage()

    releasing = Releasing()
    logging.getLogger(end_of_input.__name__).addHandler(releasing)
    try:
        Engine(world.settings, source, world.sink, clock=world.clock).run(stop_at_end=True)
    finally:
        logging.getLogger(end_of_input.__name__).removeHandler(releasing)
    assert len(world.predictions()) == 8
    (line,) = [record.getMessage() for record in caplog.records if "stopping at the end" in record.getMessage()]
    assert "waits for instances[0]: it is applied up to offset 5, and its log ended at 8 at the start" in line
