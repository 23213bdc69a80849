"""Linked queues keep the order of an ordered dictionary, whichever numbers are removed."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from streamlearn.engine.waiting.linked_queues import NONE, LinkedQueues

NUMBERS = 12


@given(steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, NUMBERS - 1)), max_size=200))
def test_queues_equal_ordered_dictionaries(steps: list[tuple[int, int]]) -> None:
    queues = LinkedQueues(3)
    queues.reserve(1)
    plain: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(3)]
    for queue, number in steps:
        queues.reserve(number + 1)
        for index, members in enumerate(plain):
            if number in members:
                del members[number]
                queues.remove(index, number)
                break
        else:
            plain[queue][number] = None
            queues.append(queue, number)
        for index, members in enumerate(plain):
            assert queues.numbers(index).tolist() == list(queues.iterate(index)) == list(members)
            assert queues.first(index) == next(iter(members), NONE)
            assert queues.size(index) == len(members)
