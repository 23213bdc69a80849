"""A stream with gradual drift: rows of the new concept become more frequent until the old one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from streamlearn.streams.synthetic.base import Drift
from streamlearn.streams.synthetic.topic_mixture import TopicConcept, TopicStream, draw_concept

PERIOD = 6_000
DURATION = 2_000


class Gradual(TopicStream):
    """Every 6,000 rows a new concept starts to replace the old one, over 2,000 rows."""

    name = "synthetic:gradual"

    @property
    def drifts(self) -> list[Drift]:
        return [
            Drift(row, row + DURATION, "dependencies and features") for row in range(PERIOD, self.instances, PERIOD)
        ]

    def concepts(self, random: Random) -> Iterator[TopicConcept]:
        old = new = draw_concept(random)
        row = 0
        while True:
            if row and row % PERIOD == 0:
                old, new = new, draw_concept(random)
            share = row % PERIOD / DURATION if row >= PERIOD else 1.0
            yield new if random.random() < share else old
            row += 1
