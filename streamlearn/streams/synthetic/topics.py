"""Rows made of hidden topics, each with words, measurements and labels: what the generators here have in common."""

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
class World:
    """What topics look like at one time."""

    words: list[list[int]]
    sensors: list[list[float]]
    labels: list[list[int]]
    visible: int


def new_world(random: Random, visible: int = LABELS) -> World:
    """Return topics with random words, measurements and label sets; only the first ``visible`` labels are ever set."""
    return World(
        [random.sample(range(WORDS), WORDS_OF_TOPIC) for _ in range(TOPICS)],
        [[random.uniform(-2.0, 2.0) for _ in range(SENSORS)] for _ in range(TOPICS)],
        new_labels(random),
        visible,
    )


def new_labels(random: Random) -> list[list[int]]:
    """Return a label set of one to three labels for each topic; every topic has a first label of its own."""
    firsts = random.sample(range(LABELS), TOPICS)
    return [sorted({first, *random.sample(range(LABELS), random.randrange(3))}) for first in firsts]


def draw_row(random: Random, world: World, before: int, number: int) -> tuple[StreamRow, int]:
    """Return a row and its main topic, which stays that of the row before with probability .3."""
    main = before if random.random() < 0.3 else random.randrange(TOPICS)
    topics = [main] if random.random() < 0.7 else [main, random.randrange(TOPICS)]
    x: dict[str, float] = {}
    for topic in topics:
        for word in world.words[topic]:
            if random.random() < 0.45:
                name = f"word_{word:02d}"
                x[name] = x.get(name, 0.0) + 1.0
    if random.random() < 0.5:
        x[f"word_{random.randrange(WORDS):02d}"] = 1.0
    for sensor in range(SENSORS):
        mean = sum(world.sensors[topic][sensor] for topic in topics) / len(topics)
        x[f"sensor_{sensor}"] = round(random.gauss(mean, 0.7), 3)
    present = {label for topic in topics for label in world.labels[topic] if random.random() < 0.95}
    y = [f"label_{label:02d}" for label in sorted(present) if label < world.visible]
    return StreamRow(x, y, f"row-{number}"), main


class TopicStream(GeneratedStream):
    """A stream of rows made of topics."""

    name = "topics"

    def worlds(self, random: Random) -> Iterator[World]:
        """Yield the world of every row, for ever."""
        world = new_world(random)
        while True:
            yield world

    def __iter__(self) -> Iterator[StreamRow]:
        random = Random(self.seed)
        topic = 0
        for number, world in enumerate(self.worlds(Random(self.seed + 1))):
            if number >= self.instances:
                return
            row, topic = draw_row(random, world, topic, number)
            yield row
