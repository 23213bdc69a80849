"""A partition that gives nothing is withheld only when there is something to give."""

from __future__ import annotations

import pytest

from streamlearn.kafka.stalled_partitions import WITHHELD_SECONDS, StalledPartitions
from streamlearn.source.base import TopicPartition

ONE, OTHER = TopicPartition("instances", 0), TopicPartition("instances", 1)


class Clock:
    """Polls at moments that a test chooses."""

    def __init__(self, places: dict[TopicPartition, tuple[int, int] | None]) -> None:
        self.withheld = StalledPartitions(places.__getitem__)
        self.moment = 100.0

    def poll(self, given: set[TopicPartition], seconds: float) -> tuple[TopicPartition, int, int] | None:
        self.moment += seconds
        return self.withheld.polled({ONE, OTHER}, given, self.moment)


def test_what_the_broker_has_and_does_not_give_is_found_at_the_second_look_while_others_flow() -> None:
    clock = Clock({ONE: (7, 9), OTHER: (4, 9)})
    assert clock.poll({ONE, OTHER}, 0) is None
    assert clock.poll({OTHER}, 1) is None
    assert clock.poll({OTHER}, WITHHELD_SECONDS) is None
    assert clock.poll({OTHER}, WITHHELD_SECONDS / 2) is None
    assert clock.poll({OTHER}, WITHHELD_SECONDS / 2) == (ONE, 7, 9)


@pytest.mark.parametrize("places", [(9, 9), None])
def test_a_partition_without_records_or_without_a_leader_is_not_withheld(places: tuple[int, int] | None) -> None:
    clock = Clock({ONE: places, OTHER: (9, 9)})
    assert [clock.poll(set(), WITHHELD_SECONDS) for _ in range(5)] == [None] * 5


def test_a_transaction_that_ends_at_the_first_look_is_none() -> None:
    places: dict[TopicPartition, tuple[int, int] | None] = {ONE: (7, 9), OTHER: (9, 9)}
    clock = Clock(places)
    for end in (9, 11, 13):
        assert clock.poll(set(), WITHHELD_SECONDS) is None
        places[ONE] = (end, end + 2)


def test_a_position_that_was_set_begins_anew() -> None:
    clock = Clock({ONE: (7, 9), OTHER: (9, 9)})
    for _ in range(4):
        assert clock.poll(set(), WITHHELD_SECONDS) is None
        clock.withheld.forget(ONE)
