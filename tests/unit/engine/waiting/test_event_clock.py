"""Event time follows the stream, whatever a few records are stamped, and is a function of records and journal alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.engine.waiting.event_clock import CONFIRMATIONS, FRESH_BATCHES, UNSET, EventClock

TOLERANCE_MS = 60_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def make(*state: int) -> EventClock:
    clock = EventClock()
    clock.set_tolerance(TOLERANCE_MS)
    if state:
        clock.load(state)
    return clock


def feed(clock: EventClock, stamps: list[int], now: int) -> list[int]:
    return [clock.observe(stamp, now) for stamp in stamps]


@pytest.mark.parametrize("place", [0, 1, 5, 40, 99])
def test_one_record_from_the_future_moves_nothing_in_a_backlog_or_live(place: int) -> None:
    stamps = [START_MS + 1_000 * number for number in range(100)]
    for now_of in (lambda stamp: START_MS + 10 * HOUR_MS, lambda stamp: stamp + 20):
        clock = make()
        for number, stamp in enumerate(stamps):
            now = now_of(stamp)
            if number == place:
                outlier = stamp + 59 * MINUTE_MS
                assert clock.observe(outlier, now) == min(outlier, now)
                assert place == 0 or clock.time_ms == stamps[place - 1]
            assert clock.observe(stamp, now) == stamp
            assert clock.time_ms == stamp or (place == 0 and number < 1)
        assert clock.time_ms == stamps[-1]
        assert clock.ahead == (1 if place or now < START_MS + HOUR_MS else 0)


def test_a_minority_of_wrong_stamps_moves_nothing() -> None:
    draw = random.Random(5)
    clock = make()
    for number in range(20_000):
        stamp = START_MS + 100 * number
        wrong = draw.random() < 0.1
        clock.observe(stamp + 59 * MINUTE_MS if wrong else stamp, START_MS + 100 * HOUR_MS)
        assert number < CONFIRMATIONS or clock.time_ms <= stamp


def test_event_time_is_never_beyond_the_clock() -> None:
    clock = make()
    feed(clock, [START_MS + HOUR_MS] * 20, START_MS)
    assert clock.time_ms == START_MS
    assert feed(clock, [START_MS + 5_000], START_MS + 1_000) == [START_MS + 1_000]


def test_a_pause_in_a_backlog_needs_several_records_and_one_live_needs_none() -> None:
    now = START_MS + 100 * HOUR_MS
    clock = make()
    feed(clock, [START_MS + second for second in range(20)], now)
    later = [START_MS + 8 * HOUR_MS + second for second in range(CONFIRMATIONS)]
    feed(clock, later[:-1], now)
    assert clock.time_ms == START_MS + 19
    feed(clock, later[-1:], now)
    assert clock.time_ms == later[0]
    feed(clock, [later[-1] + 1], now)
    assert clock.time_ms == later[-1] + 1

    clock = make()
    feed(clock, [START_MS + second for second in range(20)], START_MS + 100)
    feed(clock, [START_MS + 8 * HOUR_MS], START_MS + 8 * HOUR_MS + 900)
    assert clock.time_ms == START_MS + 8 * HOUR_MS


def test_a_slow_stream_that_has_caught_up_is_followed_again() -> None:
    """One record an hour, of which a day was read as a backlog: each is far ahead of the one before."""
    clock = make()
    now = START_MS + 24 * HOUR_MS
    feed(clock, [START_MS + hour * HOUR_MS for hour in range(24)], now)
    assert clock.time_ms == START_MS + (24 - CONFIRMATIONS) * HOUR_MS
    for hour in range(24, 24 + FRESH_BATCHES):
        feed(clock, [START_MS + hour * HOUR_MS], START_MS + hour * HOUR_MS + 700)
    assert clock.time_ms == START_MS + (23 + FRESH_BATCHES) * HOUR_MS
    feed(clock, [START_MS + 40 * HOUR_MS], START_MS + 40 * HOUR_MS + 700)
    assert clock.time_ms == START_MS + 40 * HOUR_MS


def test_among_the_first_records_the_earliest_counts() -> None:
    now = START_MS + 100 * HOUR_MS
    clock = make()
    feed(clock, [START_MS + HOUR_MS, START_MS, START_MS + 1], now)
    assert clock.time_ms == START_MS + 1
    feed(clock, [START_MS] * CONFIRMATIONS, now)
    feed(clock, [START_MS - HOUR_MS], now)
    assert clock.time_ms == START_MS + 1, "from then on it does not go back"


def test_a_record_without_a_timestamp_has_the_event_time_and_moves_nothing_among_others() -> None:
    clock = make()
    feed(clock, [START_MS, START_MS + 500], START_MS + 100 * HOUR_MS)
    assert feed(clock, [-1] * 3, START_MS + 101 * HOUR_MS) == [START_MS + 500] * 3
    assert (clock.time_ms, clock.missing) == (START_MS + 500, 3)


def test_without_any_timestamp_event_time_is_the_clock() -> None:
    clock = make()
    assert clock.time_ms == UNSET
    for second in range(30):
        assert feed(clock, [-1, -1], START_MS + 1_000 * second) == [START_MS + 1_000 * second] * 2
    # Timestamps of a backlog that come now still count from the earliest.
    feed(clock, [START_MS - 10 * HOUR_MS], START_MS + 31_000)
    assert clock.time_ms == START_MS - 10 * HOUR_MS


def test_a_tolerance_of_zero_follows_the_broker_and_lets_nothing_else_move_time_alone() -> None:
    clock = make()
    clock.set_tolerance(0)
    now = START_MS + 100 * HOUR_MS
    feed(clock, [START_MS + second for second in range(50)], now)
    assert START_MS + 50 - CONFIRMATIONS <= clock.time_ms < START_MS + 50


@given(st.data())
def test_state_carries_everything_and_time_never_passes_the_clock(data: st.DataObject) -> None:
    steps = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from([-1, 0, 1, 1_000, -1_000, TOLERANCE_MS + 1, 59 * MINUTE_MS, -HOUR_MS, 5 * HOUR_MS]),
                st.sampled_from([0, 0, 1, 1_000, HOUR_MS]),
            ),
            max_size=60,
        )
    )
    whole, now, base = make(), START_MS + 10 * HOUR_MS, START_MS
    parts = make()
    for offset, passed in steps:
        now, base = now + passed, base + 250
        stamp = -1 if offset == -1 else base + offset
        before, stamped = whole.time_ms, whole.state()[2]
        taken = whole.observe(stamp, now)
        parts = make(*parts.state())
        assert parts.observe(stamp, now) == taken
        assert parts.state() == whole.state()
        assert 0 <= taken <= now
        assert whole.time_ms <= now
        assert whole.time_ms >= before or stamped < CONFIRMATIONS
        assert len(whole.state()) <= 6 + CONFIRMATIONS


def test_a_state_of_other_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        make(1, 2)
