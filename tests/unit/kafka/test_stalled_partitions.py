"""A partition that returns nothing is stalled only when it has records to return."""

from __future__ import annotations

import pytest

from streamlearn.kafka.stalled_partitions import STALLED_SECONDS, StalledPartition, StalledPartitionDetector
from streamlearn.source.base import TopicPartition

FIRST, SECOND = TopicPartition("instances", 0), TopicPartition("instances", 1)


class Polls:
    """Polls both partitions at times that a test chooses."""

    def __init__(self, positions_and_ends: dict[TopicPartition, tuple[int, int] | None]) -> None:
        self.detector = StalledPartitionDetector(positions_and_ends.__getitem__)
        self.now = 100.0

    def poll(self, active: set[TopicPartition], seconds: float) -> StalledPartition | None:
        self.now += seconds
        return self.detector.check({FIRST, SECOND}, active, self.now)


def test_what_the_broker_has_and_does_not_give_is_found_at_the_second_look_while_others_flow() -> None:
    polls = Polls({FIRST: (7, 9), SECOND: (4, 9)})
    assert polls.poll({FIRST, SECOND}, 0) is None
    assert polls.poll({SECOND}, 1) is None
    assert polls.poll({SECOND}, STALLED_SECONDS) is None
    assert polls.poll({SECOND}, STALLED_SECONDS / 2) is None
    assert polls.poll({SECOND}, STALLED_SECONDS / 2) == (FIRST, 7, 9)


@pytest.mark.parametrize("position_and_end", [(9, 9), None])
def test_a_partition_without_records_or_without_a_leader_is_not_stalled(
    position_and_end: tuple[int, int] | None,
) -> None:
    polls = Polls({FIRST: position_and_end, SECOND: (9, 9)})
    assert [polls.poll(set(), STALLED_SECONDS) for _ in range(5)] == [None] * 5


def test_a_partition_whose_position_advances_between_checks_is_not_stalled() -> None:
    """A transaction that ends just before each check makes records readable that no poll has returned yet."""
    positions_and_ends: dict[TopicPartition, tuple[int, int] | None] = {FIRST: (7, 9), SECOND: (9, 9)}
    polls = Polls(positions_and_ends)
    for end in (9, 11, 13):
        assert polls.poll(set(), STALLED_SECONDS) is None
        positions_and_ends[FIRST] = (end, end + 2)


def test_setting_the_position_starts_over() -> None:
    polls = Polls({FIRST: (7, 9), SECOND: (9, 9)})
    for _ in range(4):
        assert polls.poll(set(), STALLED_SECONDS) is None
        polls.detector.reset(FIRST)
