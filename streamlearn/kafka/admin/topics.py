# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportIncompatibleMethodOverride=false
# The stubs that come with the type checker describe an older client than the one installed.
"""The topics that a run needs: partitions, settings, and what is wrong with those there are."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource

from streamlearn.errors import TopicError
from streamlearn.kafka.admin.reachability import check_admission, no_broker
from streamlearn.kafka.client_options import answered, connection_options
from streamlearn.settings.settings import Settings

INPUT, OUTPUT, JOURNAL = "input", "output", "journal"
_READ, _WRITE = "READ", "WRITE"
_UNKNOWN_TOPIC, _NOT_AUTHORIZED = 3, 29
_CREATE_MS = 10_000
_LOOK_SECONDS = 0.1


class NeededTopic(NamedTuple):
    """A topic of a configuration: the setting that names it, what it is for, and what a run does with it."""

    name: str
    setting: str
    role: str
    operations: tuple[str, ...]


class FoundTopic(NamedTuple):
    """A topic as the brokers describe it."""

    partitions: int
    topic_id: str
    operations: frozenset[str] | None
    configs: Mapping[str, str]


def needed_topics(settings: Settings) -> list[NeededTopic]:
    """Return the topics of a configuration, inputs first."""
    topics = settings.topics
    needed = [NeededTopic(topics.instances, "topics.instances", INPUT, (_READ,))]
    if topics.labels:
        needed.append(NeededTopic(topics.labels, "topics.labels", INPUT, (_READ,)))
    needed.append(NeededTopic(topics.predictions, "topics.predictions", OUTPUT, (_WRITE,)))
    needed.append(NeededTopic(topics.events, "topics.events", OUTPUT, (_WRITE,)))
    if topics.metrics:
        needed.append(NeededTopic(topics.metrics, "topics.metrics", OUTPUT, (_WRITE,)))
    needed.append(NeededTopic(topics.dead_letters, "topics.dead_letters", OUTPUT, (_WRITE,)))
    needed.append(NeededTopic(settings.journal_topic, "topics.journal", JOURNAL, (_READ, _WRITE)))
    return needed


class Topics:
    """Looks at the topics of a configuration, and makes those that are missing.

    Parameters
    ----------
    settings:
        The settings.

    Raises
    ------
    RetryableError
        When no broker answers.
    UsageError
        When the brokers do not take us: a wrong certificate, password or protocol.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.needed = needed_topics(settings)
        check_admission(settings)
        try:
            self._admin = KafkaAdminClient(**connection_options(settings))
        except kafka_errors.KafkaError as error:
            raise no_broker(settings, "start it, or set kafka.bootstrap_servers") from error

    def close(self) -> None:
        """Disconnect."""
        self._admin.close()

    def found(self) -> dict[str, FoundTopic]:
        """Return the topics that are there, by name."""
        names = list(dict.fromkeys(topic.name for topic in self.needed))
        found: dict[str, FoundTopic] = {}
        with answered(self._settings, "the topics"):
            descriptions = self._admin.describe_topics(names)
        for description in descriptions:
            if description["error_code"] == _UNKNOWN_TOPIC:
                continue
            operations = description.get("authorized_operations")
            found[description["name"]] = FoundTopic(
                len(description["partitions"]),
                str(description["topic_id"]),
                frozenset() if description["error_code"] == _NOT_AUTHORIZED else operations and frozenset(operations),
                self._configs(description["name"]) if description["error_code"] == 0 else {},
            )
        return found

    def found_with(self, made: Collection[str]) -> dict[str, FoundTopic]:
        """Return the topics that are there, when those just ``made`` are among them or their time is over.

        The brokers learn of a topic one after the other, and any of them may be asked.
        """
        deadline = time.monotonic() + _CREATE_MS / 1000
        found = self.found()
        while not found.keys() >= set(made) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            found = self.found()
        return found

    def _configs(self, name: str) -> dict[str, str]:
        try:
            described = self._admin.describe_configs([ConfigResource("TOPIC", name, None)], config_filter="all")
        except kafka_errors.KafkaError:
            return {}
        return {key: str(entry["value"]) for by_name in described.values() for key, entry in by_name[name].items()}

    def problems(self, found: Mapping[str, FoundTopic], ignored: Collection[str] = ()) -> list[str]:
        """Return what is wrong, a sentence each, with what to do; empty when a run may start.

        Parameters
        ----------
        found:
            The topics that are there.
        ignored:
            Topics that may be missing.
        """
        problems = [
            f"topic {topic.name} ({topic.setting}) does not exist: create it with `streamlearn topics create`, set "
            "topics.create = true, or name another one"
            for topic in self.needed
            if topic.name not in found and topic.name not in ignored
        ]
        for topic in self.needed:
            if topic.name in found:
                problems.extend(self._problems_of(topic, found[topic.name]))
        problems.extend(self._wrong_counts(found))
        problems.extend(self._short_retentions(found))
        names = [topic.name for topic in self.needed]
        problems.extend(
            f"{name} is named by several of {', '.join(t.setting for t in self.needed if t.name == name)}: "
            "each needs its "
            "own topic"
            for name in sorted({name for name in names if names.count(name) > 1})
        )
        return problems

    @staticmethod
    def _problems_of(topic: NeededTopic, found: FoundTopic) -> list[str]:
        problems = []
        if found.operations is not None:
            missing = [operation for operation in topic.operations if operation not in found.operations]
            if missing:
                verb = {"READ": "read", "WRITE": "written"}
                problems.append(
                    f"topic {topic.name} ({topic.setting}) may not be {' or '.join(verb[m] for m in missing)}: grant "
                    f"this user {' and '.join(missing)} on it"
                )
        policy = found.configs.get("cleanup.policy", "delete")
        if topic.role != OUTPUT and "compact" in policy:
            problems.append(
                f"topic {topic.name} ({topic.setting}) has cleanup.policy={policy}: compaction removes records that a "
                "restore reads again; set it to delete"
            )
        return problems

    def _wrong_counts(self, found: Mapping[str, FoundTopic]) -> list[str]:
        # Of a topic that may not be described the brokers tell no partitions.
        found = {name: topic for name, topic in found.items() if topic.partitions}
        topics = self._settings.topics
        instances = found.get(topics.instances)
        if instances is None:
            return []
        problems = []
        labels = found.get(topics.labels)
        if labels is not None and labels.partitions != instances.partitions:
            problems.append(
                f"{topics.labels} has {labels.partitions} partitions and {topics.instances} "
                f"{instances.partitions}: both "
                "need the same number, so that a label lies in its instance's partition"
            )
        journal = found.get(self._settings.journal_topic)
        least = instances.partitions if self._settings.engine.scope == "partition" else 1
        if journal is not None and journal.partitions < least:
            problems.append(
                f"{self._settings.journal_topic} has {journal.partitions} partitions, engine.scope = partition needs "
                f"{least}, as {topics.instances} has"
            )
        if journal is not None:
            kept, needed = _retention(journal.configs), _retention(instances.configs)
            if kept < needed:
                shown = "without limit" if needed == math.inf else f"{needed:.0f} ms"
                problems.append(
                    f"{self._settings.journal_topic} keeps records for {kept:.0f} ms (retention.ms), "
                    f"{topics.instances} {shown}: a restore reads both again; keep the journal at least as long"
                )
        return problems

    def _short_retentions(self, found: Mapping[str, FoundTopic]) -> list[str]:
        between = self._settings.snapshot.interval_seconds * 1_000
        return [
            f"topic {topic.name} ({topic.setting}) keeps records for {kept:.0f} ms (retention.ms), snapshots are "
            f"{between:.0f} ms apart (snapshot.interval_seconds): a restore reads what came since the last one; keep "
            "records longer, or write snapshots more often"
            for topic in self.needed
            if topic.role != OUTPUT
            and topic.name in found
            and (kept := _retention(found[topic.name].configs)) < between
        ]

    def create(
        self, found: Mapping[str, FoundTopic], *, internal_only: bool = False, validate_only: bool = False
    ) -> list[str]:
        """Make the topics that are not among the ``found``, or only the journal; return their names.

        The journal gets the partitions and the retention of the instances. With ``validate_only`` the brokers say
        whether they could be made, and make none.

        Raises
        ------
        TopicError
            When a topic cannot be made.
        """
        settings = self._settings.topics
        instances = found.get(settings.instances)
        partitions = instances.partitions if instances is not None else settings.partitions
        wanted: dict[str, dict[str, Any]] = {}
        for topic in self.needed:
            if topic.name in found or (internal_only and topic.role != JOURNAL):
                continue
            configs = {"cleanup.policy": "delete"}
            if topic.role == JOURNAL and instances is not None and "retention.ms" in instances.configs:
                configs["retention.ms"] = instances.configs["retention.ms"]
            wanted[topic.name] = {
                "num_partitions": partitions,
                "replication_factor": settings.replication,
                "configs": configs,
            }
        if not wanted:
            return []
        try:
            self._admin.create_topics(
                wanted, timeout_ms=_CREATE_MS, validate_only=validate_only, wait_for_metadata=not validate_only
            )
        except kafka_errors.TopicAlreadyExistsError:
            # Another worker of the group was quicker.
            self._admin.wait_for_topics(list(wanted), timeout_ms=_CREATE_MS)
        except kafka_errors.KafkaError as error:
            raise TopicError(
                f"cannot create {', '.join(wanted)}: {error}; create them by hand, or grant this user CREATE"
            ) from error
        return list(wanted)


def _retention(configs: Mapping[str, str]) -> float:
    """Return how many milliseconds a topic keeps its records; infinite without a limit, or where it is not told."""
    value = float(configs.get("retention.ms", "-1"))
    return math.inf if value < 0 else value


def startable(settings: Settings) -> tuple[list[str], dict[str, FoundTopic]]:
    """Return what would keep a run from starting with its topics, and those that there are; make nothing.

    Raises
    ------
    UsageError, RetryableError
        When the brokers cannot be reached.
    """
    topics = Topics(settings)
    try:
        found = topics.found()
        faults: list[str] = []
        made = [topic.name for topic in topics.needed if settings.topics.create]
        if settings.topics.create or settings.topics.instances in found:
            made.append(settings.journal_topic)
            try:
                topics.create(found, internal_only=not settings.topics.create, validate_only=True)
            except TopicError as error:
                faults.append(str(error))
        return [*faults, *topics.problems(found, ignored=made)], found
    finally:
        topics.close()


def prepare_topics(settings: Settings) -> None:
    """Make what may be made, then check everything, before a run.

    Raises
    ------
    TopicError
        One line that names every problem.
    RetryableError
        When no broker answers.
    """
    topics = Topics(settings)
    try:
        found = topics.found()
        if settings.topics.create or settings.topics.instances in found:
            made = topics.create(found, internal_only=not settings.topics.create)
            found = topics.found_with(made) if made else found
        problems = topics.problems(found)
    finally:
        topics.close()
    if problems:
        raise TopicError("; ".join(problems))
