"""The stream of the demo: its label dependencies and its features change suddenly, and a label appears."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from streamlearn.streams.synthetic.base import Drift
from streamlearn.streams.synthetic.topics import LABELS, TOPICS, TopicStream, World, new_labels, new_world

PERIOD = 4_000
APPEARS = 6_000


class Drifting(TopicStream):
    """Every 4,000 rows either all topics' label sets or all their features change; a label appears at row 6,000."""

    name = "synthetic:drifting"

    @property
    def drifts(self) -> list[Drift]:
        known = [
            Drift(row, row, "dependencies" if row // PERIOD % 2 else "features")
            for row in range(PERIOD, self.instances, PERIOD)
        ]
        if self.instances > APPEARS:
            known.append(Drift(APPEARS, APPEARS, "label appears"))
        return sorted(known)

    def worlds(self, random: Random) -> Iterator[World]:
        world = new_world(random, visible=LABELS - 1)
        row = 0
        while True:
            if row and row % PERIOD == 0:
                if row // PERIOD % 2:
                    world.labels = new_labels(random)
                else:
                    fresh = new_world(random)
                    world.words, world.sensors = fresh.words, fresh.sensors
            if row == APPEARS:
                world.visible = LABELS
                # The drift is promised, so a label that no topic drew joins one.
                if not any(LABELS - 1 in labels for labels in world.labels):
                    world.labels[random.randrange(TOPICS)].append(LABELS - 1)
            yield world
            row += 1
