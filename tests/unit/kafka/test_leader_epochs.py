"""Which leader's epoch goes with a position: never an older one than that of the record before it."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

from streamlearn.kafka.leader_epochs import UNKNOWN, LeaderEpochs
from streamlearn.source.base import TopicPartition

P = TopicPartition("in", 0)


def records(*pairs: tuple[int, int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset, leader_epoch=epoch) for offset, epoch in pairs]


def test_nothing_is_known_of_what_was_not_read() -> None:
    epochs = LeaderEpochs()
    assert epochs.at(P, 0) == UNKNOWN
    epochs.read(P, records((10, 3), (11, 3)))
    assert [epochs.at(P, offset) for offset in (9, 10, 11, 12, 13)] == [UNKNOWN, 3, 3, 3, UNKNOWN]


def test_a_committed_position_keeps_its_epoch_until_more_is_read() -> None:
    epochs = LeaderEpochs()
    epochs.committed(P, 40, 5)
    assert [epochs.at(P, offset) for offset in (39, 40, 41)] == [UNKNOWN, 5, UNKNOWN]
    epochs.committed(P, 40, -1)
    assert epochs.at(P, 40) == 5
    epochs.read(P, records((40, 7), (41, 7)))
    assert [epochs.at(P, offset) for offset in (40, 42)] == [7, 7]


def test_a_committed_position_that_others_have_come_to_has_the_epoch_that_it_came_with() -> None:
    epochs = LeaderEpochs()
    epochs.read(P, records((10, 1), (11, 1)))
    epochs.committed(P, 40, 3)
    assert epochs.at(P, 40) == 3, "the epoch of what was read before others went on is older"
    epochs.committed(P, 11, 0)
    assert epochs.at(P, 11) == 1, "what was read here is known better"


def test_records_read_in_any_pieces_and_again_give_the_same() -> None:
    draw = Random(4)
    log, offset, epoch = [], 0, 0
    for _ in range(200):
        offset += 1 + (draw.random() < 0.1)
        epoch += draw.random() < 0.05
        log.append((offset, epoch))
    epochs = LeaderEpochs()
    place = 0
    while place < len(log):
        if draw.random() < 0.3:
            place = draw.randrange(place + 1)
        count = draw.randrange(1, 20)
        epochs.read(P, records(*log[place : place + count]))
        place += count
        for number, (before, of_before) in enumerate(log[:place]):
            shown = epochs.at(P, before + 1)
            after = log[number + 1][1] if number + 1 < len(log) else of_before
            assert of_before <= shown <= after
