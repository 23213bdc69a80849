"""The tree of settings: frozen sections whose fields have a default, a meaning and a unit."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import SecretStr, field_validator, model_validator

from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.fields import NO_SECRET, Names, Section, refuse, setting
from streamlearn.settings.names import are_one_to_kafka, check_group_name, check_topic_name, journal_topic_of
from streamlearn.settings.presets import ALIASES
from streamlearn.settings.rule import DEFAULT_RULE, RULES, SIMPLE_KINDS, Rule
from streamlearn.settings.security import SecuritySettings


class KafkaSettings(Section):
    """Connection to the brokers."""

    bootstrap_servers: str = setting(
        "localhost:9092", "Brokers for the initial connection, host:port, comma-separated", min_length=1
    )
    group_id: str = setting(
        "streamlearn", "Consumer group; also the prefix of transactional ids and snapshots", min_length=1
    )
    session_timeout_ms: int = setting(
        6_000, "A worker that sends no heartbeat for this time loses its partitions", "ms", ge=1_000
    )
    unavailable_timeout_seconds: float = setting(
        120.0, "Stop when no broker has answered, or nothing could be committed, for this time", "seconds", gt=0
    )
    compression: Literal["none", "zstd", "lz4", "gzip", "snappy"] = setting(
        "none", "Compression of the records that we write; records of any codec are read"
    )
    unready_after_seconds: float = setting(
        10.0, "A worker is not ready (/readyz answers 503) when no broker has answered for this time", "seconds", gt=0
    )
    security: SecuritySettings = SecuritySettings()

    @field_validator("group_id")
    @classmethod
    def _check_group(cls, value: str) -> str:
        return check_group_name(value)

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_addresses(cls, value: str) -> str:
        parse_broker_addresses(value)
        return value


class WorkerSettings(Section):
    """This worker of the group."""

    name: str = setting(
        f"{socket.gethostname() or 'worker'}-0",
        "Name of the worker, unique in the group and the same after a restart",
        min_length=1,
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_group_name(value)


_TOPIC_ROLES = ("instances", "labels", "predictions", "events", "metrics", "dead_letters")


class TopicSettings(Section):
    """Input and output topics."""

    instances: str = setting("instances", "Instances to predict", min_length=1)
    labels: str = setting("", "Labels that arrive separately from their instances; empty: none")
    predictions: str = setting("predictions", "Predictions", min_length=1)
    events: str = setting(
        "events", "Events of the model, such as drift alarms and changes of the partition", min_length=1
    )
    metrics: str = setting("metrics", "Periodic measures; empty: none")
    dead_letters: str = setting("dead-letters", "Records that could not be used", min_length=1)
    journal: str = setting(
        "",
        "Journal of the applied batches, in order; empty: <kafka.group_id>-journal, where a group whose name a topic "
        "cannot have gets one with a hash",
    )
    create: bool = setting(False, "Also create missing input and output topics, not only the journal")
    partitions: int = setting(1, "Partitions of created topics", "partitions", ge=1)
    replication: int = setting(1, "Replicas of created topics", "replicas", ge=1)

    @field_validator(*_TOPIC_ROLES, "journal")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return value and check_topic_name(value)


class EngineSettings(Section):
    """Reading, applying and committing of records."""

    scope: Literal["topic", "partition"] = setting("topic", "One model for the whole topic, or one per partition")
    standby: Literal["warm", "cold"] = setting(
        "warm", "In scope topic, a standby worker follows the journal of the active one (warm), or only waits (cold)"
    )
    start_from: Literal["earliest", "latest"] = setting(
        "earliest", "Where a group without committed offsets starts to read"
    )
    on_offset_lost: Literal["stop", "earliest", "latest"] = setting(
        "stop", "What to do when the offsets to read from are no longer retained"
    )
    batch_seconds: float = setting(
        0.1, "Minimum time between the starts of two transactions, unless the batch is full", "seconds", gt=0, le=10
    )
    batch_instances: int = setting(5_000, "Maximum records per transaction", "records", ge=1)
    batch_bytes: int = setting(8 << 20, "Maximum bytes of records per transaction", "bytes", ge=1)
    frozen: bool = setting(False, "Predict only, learn nothing")


class SnapshotSettings(Section):
    """Storage of the model between runs."""

    location: str = setting("./streamlearn-snapshots", "Folder, or the URL of an fsspec file system", min_length=1)
    interval_seconds: float = setting(60.0, "Time between snapshots", "seconds", gt=0)
    keep: int = setting(4, "Snapshots to keep of each model", "snapshots", ge=1)


class HttpSettings(Section):
    """HTTP endpoint for metrics and health."""

    enabled: bool = setting(True, "Serve /metrics, /healthz and /readyz")
    host: str = setting("127.0.0.1", "Address to listen on", min_length=1)
    port: int = setting(0, "Port to listen on; 0: any free port, which is logged", ge=0, le=65_535)
    certificate_file: str = setting("", "Server certificate (PEM) for TLS; empty: no TLS")
    key_file: str = setting("", "Key of that certificate (PEM); empty: it is in certificate_file")
    token: SecretStr = setting(NO_SECRET, "Bearer token that /metrics requires; empty: none")
    token_file: str = setting("", "File with the bearer token")

    @model_validator(mode="after")
    def _check_combinations(self) -> HttpSettings:
        faults = []
        if self.token.get_secret_value() and self.token_file:
            faults.append("http.token and http.token_file are both set; keep one")
        if self.key_file and not self.certificate_file:
            faults.append("http.key_file is set without http.certificate_file: set the certificate too")
        refuse(faults)
        return self


class LearnerSettings(Section):
    """The learner."""

    preset: Literal["default", "fast", "paper"] = setting(
        "default",
        "Components of the learner: all experts (default); only the linear experts and the label trees, for the "
        "highest rates (fast); or the published method, nothing added (paper, alias ihomer)",
    )
    partition: Literal["jaccard", "whole", "singletons", "random"] = setting(
        "jaccard",
        "Source of the label clusters: the preset's own clustering by Jaccard similarity or, for comparison, one "
        "cluster (whole), one per label (singletons), or random ones of the same sizes",
    )
    rule: str = setting(
        DEFAULT_RULE,
        f"Decision rule that turns scores into a label set: {', '.join(SIMPLE_KINDS)} (each for the measure of its "
        f"name), {', '.join(RULES[len(SIMPLE_KINDS) :])}",
    )
    seed: int = setting(0, "Seed of all random numbers", ge=0)
    scores_top: int = setting(
        5, "Number of labels outside the predicted set that get a score", "labels", ge=0, le=1_000
    )

    @field_validator("preset", mode="before")
    @classmethod
    def _resolve_alias(cls, value: Any) -> Any:
        return ALIASES.get(value, value) if isinstance(value, str) else value

    @field_validator("rule")
    @classmethod
    def _normalize_rule(cls, value: str) -> str:
        return str(Rule.parse(value))


class DriftSettings(Section):
    """Drift detection; unused with preset paper, which has its published detectors."""

    detector: Literal["adwin", "page_hinkley", "none"] = setting("adwin", "Detector on the loss of each label cluster")
    significance: float = setting(
        0.01,
        "Probability of a false alarm per check over all clusters together, divided among them",
        "share",
        gt=0,
        lt=1,
    )
    cooldown_rows: int = setting(
        100,
        "Within this many learnt rows, alarms of a cluster in one direction are one event, and the partition is tested "
        "at most once",
        "instances",
        ge=0,
    )


class LabelSettings(Section):
    """The label space, and labels that arrive late."""

    declared: Names = setting((), "Labels known from the start, comma-separated")
    min_count: int = setting(
        1, "Number of instances in which a label must have been true before it is predicted", "instances", ge=1
    )
    maximum: int = setting(
        1_024,
        "Maximum labels; of those below min_count, the least frequent one is replaced first",
        "labels",
        ge=1,
        le=4_096,
    )
    retire_after_instances: int = setting(
        0,
        "A label that is not declared and was not true in this many learnt instances retires; 0: none retires",
        "instances",
        ge=0,
    )
    negative_after_seconds: float = setting(
        0.0,
        "Labels not reported as true this long after an instance are learnt as false; 0: missing labels stay unknown",
        "seconds",
        ge=0,
    )
    clock_tolerance_seconds: float = setting(
        60.0,
        "One record stamped further ahead of the others than this does not move event time, from which ages are "
        "counted; several in a row do",
        "seconds",
        ge=0,
    )
    orphan_seconds: float = setting(3_600.0, "Maximum time that a label waits for its instance", "seconds", ge=0)
    orphan_count: int = setting(10_000, "Maximum labels that wait for their instances", "labels", ge=0)
    orphan_bytes: int = setting(64 << 20, "Maximum memory for labels that wait for their instances", "bytes", ge=0)
    pending_seconds: float = setting(
        604_800.0, "Maximum time that an instance waits for its labels, and for corrections of them", "seconds", ge=0
    )
    pending_count: int = setting(
        100_000,
        "Maximum instances that wait; those whose labels are known are dropped first, then the oldest",
        "instances",
        ge=0,
    )
    pending_bytes: int = setting(256 << 20, "Maximum memory for instances that wait", "bytes", ge=0)

    @model_validator(mode="after")
    def _check_waiting_times(self) -> LabelSettings:
        if self.negative_after_seconds and self.negative_after_seconds >= self.pending_seconds:
            raise ValueError(
                "negative_after_seconds is not below pending_seconds: instances would be dropped before that time"
            )
        return self


class EncoderSettings(Section):
    """Encoding of values as features."""

    text_fields: Names = setting((), "Names in x whose strings are texts, encoded as bags of words; comma-separated")
    text_columns: int = setting(
        32_768, "Maximum features to hash words and word pairs to; at most features.maximum", "features", ge=1
    )
    text_words: int = setting(1_000, "Maximum words per text; the first ones are used", "words", ge=1)
    text_pairs: bool = setting(True, "Use pairs of neighbouring words as well as words")
    text_word_length: int = setting(40, "Maximum length of a word", "characters", ge=1, le=256)


class FeatureSettings(Section):
    """The feature space."""

    maximum: int = setting(65_536, "Maximum features; the names seen first keep their columns", "features", ge=1)
    hashed: bool = setting(False, "Hash names to columns instead of adding a column per name")


class LimitSettings(Section):
    """Limits on input and memory."""

    memory_bytes: int = setting(
        4 << 30,
        "Maximum memory of the models when fully grown; settings that need more are refused at start",
        "bytes",
        ge=1,
    )
    record_bytes: int = setting(1 << 20, "Maximum size of a record", "bytes", ge=1)
    labels_per_record: int = setting(1_024, "Maximum labels per record", "labels", ge=1)
    features_per_record: int = setting(65_536, "Maximum features per record", "features", ge=1)
    id_bytes: int = setting(256, "Maximum length of an id", "bytes", ge=1)
    name_bytes: int = setting(
        1_024, "Maximum length of a feature name, and of name=text for a text value", "bytes", ge=1
    )
    label_bytes: int = setting(
        256, "Maximum length of a label name; a prediction contains each of its labels twice", "bytes", ge=1
    )
    bad_share: float = setting(
        0.5, "Stop when more than this share of the latest records cannot be used", "share", gt=0, le=1
    )
    bad_window: int = setting(1_000, "Number of latest records for bad_share", "records", ge=1)


class MeasureSettings(Section):
    """Prequential measures."""

    window: int = setting(1_000, "Rows per window", "instances", ge=1)
    interval_seconds: float = setting(10.0, "Time between two metrics records", "seconds", gt=0)


class LogSettings(Section):
    """Logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Minimum severity to log")
    json_lines: bool = setting(False, "Log one JSON object per line", alias="json")


class Settings(Section):
    """Every setting, by section."""

    kafka: KafkaSettings = KafkaSettings()
    worker: WorkerSettings = WorkerSettings()
    topics: TopicSettings = TopicSettings()
    engine: EngineSettings = EngineSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    http: HttpSettings = HttpSettings()
    learner: LearnerSettings = LearnerSettings()
    drift: DriftSettings = DriftSettings()
    labels: LabelSettings = LabelSettings()
    features: FeatureSettings = FeatureSettings()
    encoder: EncoderSettings = EncoderSettings()
    limits: LimitSettings = LimitSettings()
    measures: MeasureSettings = MeasureSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _check_sections_agree(self) -> Settings:
        refuse([*self._topics_used_twice(), *self._unused_drift_settings()])
        return self

    def _topics_used_twice(self) -> Iterator[str]:
        topics = self.topics
        used = {name: getattr(topics, name) for name in _TOPIC_ROLES} | {"journal": self.journal_topic}
        for other, name in itertools.combinations(used, 2):
            if used[name] and used[name] == used[other]:
                yield f"topics.{name} and topics.{other} are both {used[name]!r}; use different topics"
            elif used[name] and are_one_to_kafka(used[name], used[other]):
                yield (
                    f"topics.{name} = {used[name]!r} and topics.{other} = {used[other]!r} differ only in '.' and '_', "
                    "which are the same to Kafka; use other names"
                )

    def _unused_drift_settings(self) -> Iterator[str]:
        if self.learner.preset == "paper" and self.drift != DriftSettings():
            yield (
                "learner.preset = paper has its own drift detectors: leave drift.detector, drift.significance and "
                "drift.cooldown_rows at their defaults"
            )

    @property
    def journal_topic(self) -> str:
        """The journal topic, with the default filled in."""
        return self.topics.journal or journal_topic_of(self.kafka.group_id)

    @property
    def transactional_id(self) -> str:
        """The transactional id of this worker.

        In scope ``topic`` all workers of the group share one, so that a worker that becomes active fences its
        predecessor; in scope ``partition`` each worker has its own.
        """
        return f"{self.kafka.group_id}-{'topic' if self.engine.scope == 'topic' else self.worker.name}"
