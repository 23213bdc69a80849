"""The stream of the demo: label dependencies and features change suddenly, and a label appears."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from streamlearn.streams.synthetic.base import Drift
from streamlearn.streams.synthetic.topic_mixture import (
    LABELS,
    TOPICS,
    TopicConcept,
    TopicStream,
    draw_concept,
    draw_label_sets,
)

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

    def concepts(self, random: Random) -> Iterator[TopicConcept]:
        concept = draw_concept(random, visible=LABELS - 1)
        row = 0
        while True:
            if row and row % PERIOD == 0:
                if row // PERIOD % 2:
                    concept.labels = draw_label_sets(random)
                else:
                    other = draw_concept(random)
                    concept.words, concept.sensors = other.words, other.sensors
            if row == APPEARS:
                concept.visible = LABELS
                # So that the drift happens for every seed, a label that no topic drew is added to one.
                if not any(LABELS - 1 in labels for labels in concept.labels):
                    concept.labels[random.randrange(TOPICS)].append(LABELS - 1)
            yield concept
            row += 1
