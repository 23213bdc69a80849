"""Rows that are mixtures of hidden topics, each with words, measurements and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic.base import GeneratedStream

TOPICS = 6
WORDS = 60
WORDS_OF_TOPIC = 10
SENSORS = 4
LABELS = 10


@dataclass(slots=True)
class TopicConcept:
    """What rows are drawn from at one time.

    Attributes
    ----------
    words:
        The words of each topic.
    sensors:
        The mean of each measurement, per topic.
    labels:
        The label set of each topic.
    visible:
        Number of labels that are ever set, from the first one on.
    """

    words: list[list[int]]
    sensors: list[list[float]]
    labels: list[list[int]]
    visible: int


def draw_concept(random: Random, visible: int = LABELS) -> TopicConcept:
    """Return topics with random words, measurements and label sets; only the first ``visible`` labels are ever set."""
    return TopicConcept(
        [random.sample(range(WORDS), WORDS_OF_TOPIC) for _ in range(TOPICS)],
        [[random.uniform(-2.0, 2.0) for _ in range(SENSORS)] for _ in range(TOPICS)],
        draw_label_sets(random),
        visible,
    )


def draw_label_sets(random: Random) -> list[list[int]]:
    """Return a label set of one to three labels for each topic; every topic has a first label of its own."""
    firsts = random.sample(range(LABELS), TOPICS)
    return [sorted({first, *random.sample(range(LABELS), random.randrange(3))}) for first in firsts]


def draw_row(random: Random, concept: TopicConcept, previous: int, number: int) -> tuple[StreamRow, int]:
    """Return a row and its main topic, which is that of the previous row with probability 0.3."""
    main = previous if random.random() < 0.3 else random.randrange(TOPICS)
    topics = [main] if random.random() < 0.7 else [main, random.randrange(TOPICS)]
    x: dict[str, float] = {}
    for topic in topics:
        for word in concept.words[topic]:
            if random.random() < 0.45:
                name = f"word_{word:02d}"
                x[name] = x.get(name, 0.0) + 1.0
    if random.random() < 0.5:
        x[f"word_{random.randrange(WORDS):02d}"] = 1.0
    for sensor in range(SENSORS):
        mean = sum(concept.sensors[topic][sensor] for topic in topics) / len(topics)
        x[f"sensor_{sensor}"] = round(random.gauss(mean, 0.7), 3)
    present = {label for topic in topics for label in concept.labels[topic] if random.random() < 0.95}
    y = [f"label_{label:02d}" for label in sorted(present) if label < concept.visible]
    return StreamRow(x, y, f"row-{number}"), main


class TopicStream(GeneratedStream):
    """A stream of rows that are mixtures of topics."""

    name = "topics"

    def concepts(self, random: Random) -> Iterator[TopicConcept]:
        """Yield the concept of every row, for ever."""
        concept = draw_concept(random)
        while True:
            yield concept

    def __iter__(self) -> Iterator[StreamRow]:
        random = Random(self.seed)
        topic = 0
        for number, concept in enumerate(self.concepts(Random(self.seed + 1))):
            if number >= self.instances:
                return
            row, topic = draw_row(random, concept, topic, number)
            yield row
