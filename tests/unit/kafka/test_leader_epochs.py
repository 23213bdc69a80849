"""The leader epoch of a position is never older than that of the record before it."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

from streamlearn.kafka.leader_epochs import UNKNOWN, LeaderEpochs
from streamlearn.source.base import TopicPartition

P = TopicPartition("in", 0)


def records(*pairs: tuple[int, int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset, leader_epoch=epoch) for offset, epoch in pairs]


def test_the_epoch_of_what_was_not_read_is_unknown() -> None:
    epochs = LeaderEpochs()
    assert epochs.epoch_at(P, 0) == UNKNOWN
    epochs.add_records(P, records((10, 3), (11, 3)))
    assert [epochs.epoch_at(P, offset) for offset in (9, 10, 11, 12, 13)] == [UNKNOWN, 3, 3, 3, UNKNOWN]


def test_a_committed_position_keeps_its_epoch_until_more_is_read() -> None:
    epochs = LeaderEpochs()
    epochs.add_committed(P, 40, 5)
    assert [epochs.epoch_at(P, offset) for offset in (39, 40, 41)] == [UNKNOWN, 5, UNKNOWN]
    epochs.add_committed(P, 40, -1)
    assert epochs.epoch_at(P, 40) == 5
    epochs.add_records(P, records((40, 7), (41, 7)))
    assert [epochs.epoch_at(P, offset) for offset in (40, 42)] == [7, 7]


def test_a_position_that_another_worker_committed_keeps_its_epoch() -> None:
    epochs = LeaderEpochs()
    epochs.add_records(P, records((10, 1), (11, 1)))
    epochs.add_committed(P, 40, 3)
    assert epochs.epoch_at(P, 40) == 3, "what was read here before another worker went on has an older epoch"
    epochs.add_committed(P, 11, 0)
    assert epochs.epoch_at(P, 11) == 1, "the epoch of a record that was read here takes precedence"


def test_records_read_in_any_pieces_and_again_give_valid_epochs() -> None:
    random = Random(4)
    log, offset, epoch = [], 0, 0
    for _ in range(200):
        offset += 1 + (random.random() < 0.1)
        epoch += random.random() < 0.05
        log.append((offset, epoch))
    epochs = LeaderEpochs()
    start = 0
    while start < len(log):
        if random.random() < 0.3:
            start = random.randrange(start + 1)
        count = random.randrange(1, 20)
        epochs.add_records(P, records(*log[start : start + count]))
        start += count
        for index, (offset, epoch) in enumerate(log[:start]):
            next_epoch = log[index + 1][1] if index + 1 < len(log) else epoch
            assert epoch <= epochs.epoch_at(P, offset + 1) <= next_epoch
