"""The scope of a model: which partitions belong to which task."""

from __future__ import annotations

from collections.abc import Iterable

from streamlearn.errors import TopicError
from streamlearn.settings.settings import Settings
from streamlearn.source.base import Source, TopicPartition


def all_tasks(settings: Settings, source: Source) -> dict[int, tuple[TopicPartition, ...]]:
    """Return every task number of the input topics with its partitions; errors as `tasks_of`."""
    topics = settings.topics
    inputs = [
        TopicPartition(topic, number)
        for topic in (topics.instances, topics.labels)
        if topic
        for number in range(source.partitions(topic))
    ]
    return tasks_of(settings, inputs)


def tasks_of(settings: Settings, owned: Iterable[TopicPartition]) -> dict[int, tuple[TopicPartition, ...]]:
    """Return the task numbers with their partitions, of instances and of labels.

    In scope ``topic`` all partitions feed task 0; in scope ``partition`` the pair of partitions p is task p.

    Raises
    ------
    TopicError
        In scope ``partition``, when a labels partition is owned without the instances of the same number.
    """
    partitions = sorted(owned)
    if settings.engine.scope == "topic":
        return {0: tuple(partitions)} if partitions else {}
    tasks: dict[int, tuple[TopicPartition, ...]] = {}
    for partition in partitions:
        tasks[partition.partition] = (*tasks.get(partition.partition, ()), partition)
    for number, members in tasks.items():
        if not any(partition.topic == settings.topics.instances for partition in members):
            raise TopicError(
                f"partition {number} of {settings.topics.labels} has no partition {number} of "
                f"{settings.topics.instances}: both topics need the same number of partitions"
            )
    return tasks
