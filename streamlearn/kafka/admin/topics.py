"""The topics that a run needs: describes, checks and creates them."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource

from streamlearn.cleanup import Cleanup
from streamlearn.errors import TopicError
from streamlearn.kafka.admin.reachability import connect
from streamlearn.kafka.admin.record_sizes import OUTPUT_BYTES, journal_record_bytes
from streamlearn.kafka.client_errors import raises_no_client_errors
from streamlearn.kafka.client_options import convert_client_errors, lookup_options
from streamlearn.kafka.topic_limits import DEFAULT_LIMIT_BYTES, LIMIT_SETTING
from streamlearn.settings.settings import Settings

INPUT, OUTPUT, JOURNAL = "input", "output", "journal"
_READ, _WRITE = "READ", "WRITE"
# Error codes of the Kafka protocol.
_UNKNOWN_TOPIC, _NO_LEADER, _NOT_AUTHORIZED, _ALREADY_EXISTS = 3, 5, 29, 36
_CREATE_TIMEOUT_MS = 10_000
_RETRY_SECONDS = 0.1


class RequiredTopic(NamedTuple):
    """A topic that a configuration names.

    ``setting`` is the setting that names it, ``role`` what it is for, and ``operations`` what a run does with it.
    """

    name: str
    setting: str
    role: str
    operations: tuple[str, ...]


class TopicDescription(NamedTuple):
    """A topic as the brokers describe it; ``operations`` is None where they do not report what this user may do."""

    partitions: int
    topic_id: str
    operations: frozenset[str] | None
    configs: Mapping[str, str]


def list_required_topics(settings: Settings) -> list[RequiredTopic]:
    """Return the topics of a configuration, inputs first."""
    topics = settings.topics
    required = [RequiredTopic(topics.instances, "topics.instances", INPUT, (_READ,))]
    if topics.labels:
        required.append(RequiredTopic(topics.labels, "topics.labels", INPUT, (_READ,)))
    required.append(RequiredTopic(topics.predictions, "topics.predictions", OUTPUT, (_WRITE,)))
    required.append(RequiredTopic(topics.events, "topics.events", OUTPUT, (_WRITE,)))
    if topics.metrics:
        required.append(RequiredTopic(topics.metrics, "topics.metrics", OUTPUT, (_WRITE,)))
    required.append(RequiredTopic(topics.dead_letters, "topics.dead_letters", OUTPUT, (_WRITE,)))
    required.append(RequiredTopic(settings.journal_topic, "topics.journal", JOURNAL, (_READ, _WRITE)))
    return required


@raises_no_client_errors
class TopicAdmin:
    """Describes and checks the topics of a configuration, and creates those that are missing.

    Parameters
    ----------
    settings:
        The settings.

    Raises
    ------
    RetryableError, UsageError
        As `connect`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.required = list_required_topics(settings)
        self._admin = connect(settings, lambda: KafkaAdminClient(**lookup_options(settings)))

    def close(self) -> None:
        """Disconnect."""
        self._admin.close()

    def describe(self) -> dict[str, TopicDescription]:
        """Return the topics that exist, by name.

        Raises
        ------
        TopicError
            When the brokers refuse to describe one.
        """
        names = list(dict.fromkeys(topic.name for topic in self.required))
        existing: dict[str, TopicDescription] = {}
        with convert_client_errors(self._settings, "the topics"):
            descriptions = self._admin.describe_topics(names)
        for description in descriptions:
            if description["error_code"] == _UNKNOWN_TOPIC:
                continue
            code = description["error_code"]
            if code not in (0, _NO_LEADER, _NOT_AUTHORIZED):
                raise TopicError(f"the brokers do not describe topic {description['name']}: {_describe_code(code)}")
            operations = description.get("authorized_operations")
            existing[description["name"]] = TopicDescription(
                len(description["partitions"]),
                str(description["topic_id"]),
                frozenset() if description["error_code"] == _NOT_AUTHORIZED else operations and frozenset(operations),
                self._describe_configs(description["name"]) if description["error_code"] == 0 else {},
            )
        return existing

    def describe_after_create(self, created: Collection[str]) -> dict[str, TopicDescription]:
        """Return the topics that exist; wait, for a bounded time, until those just created are among them.

        A new topic reaches the brokers one after the other, and any of them may answer.
        """
        deadline = time.monotonic() + _CREATE_TIMEOUT_MS / 1000
        existing = self.describe()
        while not existing.keys() >= set(created) and time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)
            existing = self.describe()
        return existing

    def _describe_configs(self, name: str) -> dict[str, str]:
        resource = ConfigResource("TOPIC", name, None)  # pyright: ignore[reportArgumentType]
        try:
            described = self._admin.describe_configs([resource], config_filter="all")  # pyright: ignore[reportCallIssue]
        except kafka_errors.KafkaError:
            return {}
        return {key: str(entry["value"]) for by_name in described.values() for key, entry in by_name[name].items()}

    def find_problems(self, existing: Mapping[str, TopicDescription], ignored: Collection[str] = ()) -> list[str]:
        """Return what is wrong, a sentence each, with what to do; empty when a run may start.

        Parameters
        ----------
        existing:
            The topics that exist.
        ignored:
            Topics that may be missing.
        """
        problems = [
            f"topic {topic.name} ({topic.setting}) does not exist: create it with `streamlearn topics create`, set "
            "topics.create = true, or name another one"
            for topic in self.required
            if topic.name not in existing and topic.name not in ignored
        ]
        for topic in self.required:
            if topic.name in existing:
                problems.extend(self._find_access_problems(topic, existing[topic.name]))
        problems.extend(self._find_partition_problems(existing))
        problems.extend(self._find_short_retentions(existing))
        problems.extend(self._find_small_limits(existing))
        names = [topic.name for topic in self.required]
        problems.extend(
            f"{name} is named by several of {', '.join(t.setting for t in self.required if t.name == name)}: "
            "name another topic in each"
            for name in sorted({name for name in names if names.count(name) > 1})
        )
        return problems

    @staticmethod
    def _find_access_problems(topic: RequiredTopic, description: TopicDescription) -> list[str]:
        problems = []
        if description.operations is not None:
            missing = [operation for operation in topic.operations if operation not in description.operations]
            if missing:
                verb = {"READ": "read", "WRITE": "written"}
                problems.append(
                    f"topic {topic.name} ({topic.setting}) may not be {' or '.join(verb[m] for m in missing)}: grant "
                    f"this user {' and '.join(missing)} on it"
                )
        policy = description.configs.get("cleanup.policy", "delete")
        if topic.role != OUTPUT and "compact" in policy:
            problems.append(
                f"topic {topic.name} ({topic.setting}) has cleanup.policy={policy}: compaction removes records that a "
                "restore reads again; set it to delete"
            )
        return problems

    def _find_partition_problems(self, existing: Mapping[str, TopicDescription]) -> list[str]:
        # The brokers report no partitions of a topic that this user may not describe.
        existing = {name: topic for name, topic in existing.items() if topic.partitions}
        topics = self._settings.topics
        instances = existing.get(topics.instances)
        if instances is None:
            return []
        problems = []
        labels = existing.get(topics.labels)
        of_each = self._settings.engine.scope == "partition"
        if of_each and labels is not None and labels.partitions != instances.partitions:
            problems.append(
                f"{topics.labels} has {labels.partitions} partitions and {topics.instances} {instances.partitions}: "
                "with engine.scope = partition give both the same number, so that a label lies in its instance's "
                "partition"
            )
        journal = existing.get(self._settings.journal_topic)
        least = instances.partitions if of_each else 1
        if journal is not None and journal.partitions < least:
            problems.append(
                f"{self._settings.journal_topic} has {journal.partitions} partitions, engine.scope = partition needs "
                f"{least}, as {topics.instances} has: add partitions"
            )
        if journal is not None:
            kept, needed = _retention_ms(journal.configs), _retention_ms(instances.configs)
            if kept < needed:
                shown = "without limit" if needed == math.inf else f"for {needed:.0f} ms"
                problems.append(
                    f"{self._settings.journal_topic} keeps records for {kept:.0f} ms (retention.ms), "
                    f"{topics.instances} {shown}: a restore reads both again; keep the journal at least as long"
                )
        return problems

    def _find_short_retentions(self, existing: Mapping[str, TopicDescription]) -> list[str]:
        interval_ms = self._settings.snapshot.interval_seconds * 1_000
        return [
            f"topic {topic.name} ({topic.setting}) keeps records for {kept:.0f} ms (retention.ms), snapshots are "
            f"{interval_ms:.0f} ms apart (snapshot.interval_seconds): a restore reads what came since the last one; "
            "keep records longer, or write snapshots more often"
            for topic in self.required
            if topic.role != OUTPUT
            and topic.name in existing
            and (kept := _retention_ms(existing[topic.name].configs)) < interval_ms
        ]

    def _find_small_limits(self, existing: Mapping[str, TopicDescription]) -> list[str]:
        inputs = {
            topic.name: existing[topic.name].partitions
            for topic in self.required
            if topic.role == INPUT and topic.name in existing
        }
        least = {OUTPUT: OUTPUT_BYTES, JOURNAL: journal_record_bytes(self._settings, inputs)}
        return [
            f"topic {topic.name} ({topic.setting}) takes records of up to {limit:,} bytes ({LIMIT_SETTING}), what is "
            f"written there may have {least[topic.role]:,}: raise its {LIMIT_SETTING}"
            for topic in self.required
            if topic.role in least
            and topic.name in existing
            and (limit := int(existing[topic.name].configs.get(LIMIT_SETTING, DEFAULT_LIMIT_BYTES))) < least[topic.role]
        ]

    def create(
        self,
        existing: Mapping[str, TopicDescription],
        *,
        journal_only: bool = False,
        validate_only: bool = False,
    ) -> list[str]:
        """Create the topics that do not exist, or only the journal; return their names.

        The journal gets the partitions and the retention of the instances. With ``validate_only`` the brokers check
        whether they could create the topics, and create none.

        Raises
        ------
        TopicError
            When a topic cannot be created.
        """
        settings = self._settings.topics
        instances = existing.get(settings.instances)
        partitions = instances.partitions if instances is not None else settings.partitions
        missing: dict[str, dict[str, Any]] = {}
        for topic in self.required:
            if topic.name in existing or (journal_only and topic.role != JOURNAL):
                continue
            configs = {"cleanup.policy": "delete"}
            if topic.role == JOURNAL and instances is not None and "retention.ms" in instances.configs:
                configs["retention.ms"] = instances.configs["retention.ms"]
            missing[topic.name] = {
                "num_partitions": partitions,
                "replication_factor": settings.replication,
                "configs": configs,
            }
        if not missing:
            return []
        self._create(missing, validate_only)
        return list(missing)

    def _create(self, missing: Mapping[str, Mapping[str, Any]], validate_only: bool) -> None:
        try:
            response: Any = self._admin.create_topics(
                missing,
                timeout_ms=_CREATE_TIMEOUT_MS,
                validate_only=validate_only,
                raise_errors=False,  # pyright: ignore[reportCallIssue]
            )
            # A topic that exists was created by another worker of the group just now.
            refused = [
                f"{topic['name']}: {topic['error_message'] or _describe_code(topic['error_code'])}"
                for topic in response["topics"]
                if topic["error_code"] not in (0, _ALREADY_EXISTS)
            ]
            if not refused and not validate_only:
                self._admin.wait_for_topics(list(missing), timeout_ms=_CREATE_TIMEOUT_MS)  # pyright: ignore[reportAttributeAccessIssue]
        except (kafka_errors.KafkaError, RuntimeError) as error:
            raise TopicError(
                f"cannot create {', '.join(missing)}: {error}; create them by hand, or grant this user CREATE"
            ) from error
        if refused:
            raise TopicError(
                f"cannot create {'; '.join(refused)}: correct the settings of section topics, create them by hand, or "
                "grant this user CREATE"
            )


def _describe_code(code: int) -> str:
    """Return the name of an error code of the protocol."""
    return kafka_errors.for_code(code).__name__


def _retention_ms(configs: Mapping[str, str]) -> float:
    """Return for how many milliseconds a topic keeps its records; infinite without a limit, or where it is unknown."""
    value = float(configs.get("retention.ms", "-1"))
    return math.inf if value < 0 else value


def find_topic_faults(settings: Settings) -> tuple[list[str], dict[str, TopicDescription]]:
    """Return what would keep a run from starting with its topics, and the topics that exist; create nothing.

    Raises
    ------
    UsageError, RetryableError
        When the brokers cannot be reached.
    """
    admin = TopicAdmin(settings)
    with Cleanup(admin.close):
        existing = admin.describe()
        faults: list[str] = []
        creatable = [topic.name for topic in admin.required if settings.topics.create]
        if settings.topics.create or settings.topics.instances in existing:
            creatable.append(settings.journal_topic)
            try:
                admin.create(existing, journal_only=not settings.topics.create, validate_only=True)
            except TopicError as error:
                faults.append(str(error))
        return [*faults, *admin.find_problems(existing, ignored=creatable)], existing


def prepare_topics(settings: Settings) -> None:
    """Create the topics that a run may create, then check all of them.

    Raises
    ------
    TopicError
        One line that names every problem.
    RetryableError
        When no broker answers.
    """
    admin = TopicAdmin(settings)
    with Cleanup(admin.close):
        existing = admin.describe()
        if settings.topics.create or settings.topics.instances in existing:
            created = admin.create(existing, journal_only=not settings.topics.create)
            existing = admin.describe_after_create(created) if created else existing
        problems = admin.find_problems(existing)
    if problems:
        raise TopicError("; ".join(problems))
