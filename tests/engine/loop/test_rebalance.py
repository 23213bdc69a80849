"""Rebalances: records that were polled with the change are dropped, and nothing is committed without the partitions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from streamlearn.source.base import AssignmentChange, RawRecord, TopicPartition
from tests.engine import world as world_module
from tests.engine.world import GROUP, FaultySource, World, rows

COUNT = 200


class Rebalancing(FaultySource):
    """Reports a revocation together with records of the revoked partitions, and continues to return records of them."""

    polls = 0
    revoked_at, assigned_at = 3, 7
    is_revoked = False

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        polled = super().poll(timeout_seconds, limit)
        type(self).polls += 1
        owned = tuple(self._positions)
        if self.polls == self.revoked_at:
            assert polled, "the change must come with records"
            self._changes.append(AssignmentChange("revoked", owned, None))
            type(self).is_revoked = True
        elif self.polls == self.assigned_at:
            self._changes.append(AssignmentChange("assigned", owned, GROUP))
            type(self).is_revoked = False
        return polled


def test_records_polled_with_a_change_of_assignment_are_dropped_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet, world = World(tmp_path / "quiet"), World(tmp_path / "changing")
    for row in rows(COUNT):
        quiet.add(row)
        world.add(row)
    quiet.run()
    source = type("Source", (Rebalancing,), {})
    monkeypatch.setattr(world_module, "FaultySource", source)
    commit = world_module.FaultySink.commit

    def committing(self: object, *arguments: object) -> list[int]:
        assert not source.is_revoked, "committed without the partitions"
        return commit(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world_module.FaultySink, "commit", committing)
    world.run()
    assert source.polls > source.assigned_at
    assert world.predictions() == quiet.predictions()
