"""When a transaction begins: at once after a pause, otherwise `engine.batch_seconds` after the last one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.engine.world import World, rows

PATIENCE_SECONDS = 8.0


def test_a_record_after_a_pause_is_answered_at_once_and_the_next_ones_together(tmp_path: Path) -> None:
    world = World(tmp_path, engine={"batch_seconds": 10.0, "batch_instances": 1_000})
    first, *others = rows(20)
    engine = world.engine()
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        world.add(first)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not world.predictions() and time.monotonic() < deadline:
            world.log.wait(0.05, lambda: bool(world.predictions()))
        assert len(world.predictions()) == 1, "within less than batch_seconds"
        for row in others:
            world.add(row)
    finally:
        engine.stop()
        thread.join()
    assert len(world.predictions()) == 1, "the others wait for the next transaction"
    world.run()
    assert len(world.predictions()) == 20
