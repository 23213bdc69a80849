"""LinkedQueues of numbers keep the order of an ordered dictionary, whatever leaves from where."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from streamlearn.engine.waiting.linked_queues import NOBODY, LinkedQueues

NUMBERS = 12


@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, NUMBERS - 1)), max_size=200))
def test_they_are_ordered_dictionaries(steps: list[tuple[int, int]]) -> None:
    queues = LinkedQueues(3)
    queues.reserve(1)
    plain: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(3)]
    for queue, number in steps:
        queues.reserve(number + 1)
        for place, members in enumerate(plain):
            if number in members:
                del members[number]
                queues.remove(place, number)
                break
        else:
            plain[queue][number] = None
            queues.append(queue, number)
        for place, members in enumerate(plain):
            assert queues.numbers(place).tolist() == list(queues.each(place)) == list(members)
            assert queues.first(place) == next(iter(members), NOBODY)
            assert queues.size(place) == len(members)
