"""Checks that instances and labels lie in the partition of the same number: that one partitioner placed their keys."""

from __future__ import annotations

from collections.abc import Mapping

from kafka import errors as kafka_errors

from streamlearn.kafka.admin.last_records import read_last_records
from streamlearn.kafka.admin.topics import TopicDescription
from streamlearn.kafka.partitioners import find_partitioners
from streamlearn.settings.settings import Settings

LEAST_KEYS = 20
"""Different keys below which a partitioner is not recognised by its hashes."""
TOLERATED_SHARE = 0.05
"""Share of the common keys that may lie apart: records that were sent by hand, or replayed."""

_Placed = dict[bytes, set[int]]
"""Keys, with the partitions in which they lie."""


def find_key_faults(settings: Settings, topics: Mapping[str, TopicDescription]) -> list[str]:
    """Return whether the last records of both inputs show that two partitioners placed their keys, a sentence.

    The same key in different partitions shows it; so do keys that agree with the hash of one partitioner in one topic,
    and with that of another one in the other. Records without a key are no evidence.
    """
    instances, labels = settings.topics.instances, settings.topics.labels
    if settings.engine.scope != "partition" or not {instances, labels} <= topics.keys():
        return []
    count = topics[instances].partitions
    if count < 2 or topics[labels].partitions != count:
        return []
    try:
        placed = _read_keys(settings, {instances: count, labels: count})
    except (kafka_errors.KafkaError, KeyError):
        # Other checks name what may not be read or has no leader; the client leaves the latter out of its answers.
        return []
    of_instances, of_labels = placed[instances], placed[labels]
    used = [find_partitioners(keys, count) if len(keys) >= LEAST_KEYS else [] for keys in (of_instances, of_labels)]
    names = f"{instances} by {used[0][0] if used[0] else 'another'}, {labels} by {used[1][0] if used[1] else 'another'}"
    advice = "configure one partitioner in the producers of both, for example murmur2_random in librdkafka"
    common = of_instances.keys() & of_labels.keys()
    apart = sorted(key for key in common if of_instances[key].isdisjoint(of_labels[key]))
    if apart and len(apart) > TOLERATED_SHARE * len(common):
        key = apart[0]
        shown = f" ({names})" if used[0] or used[1] else ""
        return [
            f"{len(apart)} of {len(common)} keys lie in different partitions of {instances} and {labels}, such as "
            f"{key[:50]!r} in {min(of_instances[key])} and {min(of_labels[key])}: with engine.scope = partition these "
            f"labels never find their instances. Two partitioners placed the keys{shown}: {advice}"
        ]
    if not common and used[0] and used[1] and not {*used[0]} & {*used[1]}:
        return [
            f"two partitioners placed the keys ({names}): with engine.scope = partition labels never find their "
            f"instances; {advice}"
        ]
    return []


def _read_keys(settings: Settings, counts: Mapping[str, int]) -> dict[str, _Placed]:
    """Return the keys of the last records of topics."""
    placed: dict[str, _Placed] = {topic: {} for topic in counts}
    for topic, records in read_last_records(settings, counts).items():
        for record in records:
            if record.key:
                placed[topic].setdefault(record.key, set()).add(record.partition)
    return placed
