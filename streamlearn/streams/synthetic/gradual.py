"""A stream that changes gradually: rows of the new world become more frequent until the old one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from streamlearn.streams.synthetic.base import Drift
from streamlearn.streams.synthetic.topics import TopicStream, World, new_world

PERIOD = 6_000
LASTS = 2_000


class Gradual(TopicStream):
    """Every 6,000 rows a new world begins to replace the old one, over 2,000 rows."""

    name = "synthetic:gradual"

    @property
    def drifts(self) -> list[Drift]:
        return [Drift(row, row + LASTS, "dependencies and features") for row in range(PERIOD, self.instances, PERIOD)]

    def worlds(self, random: Random) -> Iterator[World]:
        old = new = new_world(random)
        row = 0
        while True:
            if row and row % PERIOD == 0:
                old, new = new, new_world(random)
            share = row % PERIOD / LASTS if row >= PERIOD else 1.0
            yield new if random.random() < share else old
            row += 1
