"""The settings: one frozen tree, each field with its meaning and unit."""

from __future__ import annotations

import socket
from typing import Any, Literal

from pydantic import SecretStr, field_validator, model_validator

from streamlearn.settings.addresses import server_addresses
from streamlearn.settings.fields import NO_SECRET, Names, Section, setting
from streamlearn.settings.presets import ALIASES
from streamlearn.settings.rule import Rule
from streamlearn.settings.security import SecuritySettings


class KafkaSettings(Section):
    """How the brokers are reached."""

    bootstrap_servers: str = setting(
        "localhost:9092", "Brokers to connect to first, host:port, comma-separated", min_length=1
    )
    group_id: str = setting(
        "streamlearn", "Consumer group; also the prefix of transactional ids and snapshots", min_length=1
    )
    session_timeout_ms: int = setting(6_000, "A worker silent for so long loses its partitions", "ms", ge=1_000)
    unavailable_timeout_seconds: float = setting(
        120.0, "Stop when no broker has answered, or nothing could be committed, for so long", "seconds", gt=0
    )
    security: SecuritySettings = SecuritySettings()

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers_are_addresses(cls, value: str) -> str:
        server_addresses(value)
        return value


class WorkerSettings(Section):
    """This process among the group's workers."""

    name: str = setting(
        f"{socket.gethostname() or 'worker'}-0",
        "Name that stays the same over restarts and is unique in the group",
        min_length=1,
    )


_TOPIC_ROLES = ("instances", "labels", "predictions", "events", "metrics", "dead_letters")


class TopicSettings(Section):
    """Topics that are read and written."""

    instances: str = setting("instances", "Instances to answer", min_length=1)
    labels: str = setting("", "Labels that arrive apart from their instances; empty: none")
    predictions: str = setting("predictions", "Answers", min_length=1)
    events: str = setting("events", "Drift and restructuring", min_length=1)
    metrics: str = setting("metrics", "Periodic measures; empty: none")
    dead_letters: str = setting("dead-letters", "Records that could not be used", min_length=1)
    journal: str = setting("", "Order of what was applied; empty: <kafka.group_id>-journal")
    create: bool = setting(False, "Create missing inputs and outputs too, not only the journal")
    partitions: int = setting(1, "Partitions of the topics that are created", "partitions", ge=1)
    replication: int = setting(1, "Replicas of the topics that are created", "replicas", ge=1)


class EngineSettings(Section):
    """How records are read, applied and committed."""

    scope: Literal["topic", "partition"] = setting("topic", "One model for the whole topic, or one for every partition")
    standby: Literal["warm", "cold"] = setting(
        "warm", "Scope topic: a worker that stands by follows the active one's journal (warm), or only waits (cold)"
    )
    start_from: Literal["earliest", "latest"] = setting("earliest", "Where a group without committed offsets begins")
    on_offset_lost: Literal["stop", "earliest", "latest"] = setting("stop", "What to do when offsets left retention")
    batch_seconds: float = setting(
        0.1, "Shortest time from one transaction's start to the next, unless that is full", "seconds", gt=0, le=10
    )
    batch_instances: int = setting(5_000, "Most records in a transaction", "records", ge=1)
    batch_bytes: int = setting(8 << 20, "Most bytes of records in a transaction", "bytes", ge=1)
    frozen: bool = setting(False, "Answer only, learn nothing")


class SnapshotSettings(Section):
    """Where the model is kept between runs."""

    location: str = setting("./streamlearn-snapshots", "Folder, or the URL of an fsspec file system", min_length=1)
    interval_seconds: float = setting(60.0, "Time between snapshots", "seconds", gt=0)
    keep: int = setting(4, "Snapshots kept of each model", "snapshots", ge=1)


class HttpSettings(Section):
    """The endpoint for metrics and health."""

    enabled: bool = setting(True, "Serve /metrics, /healthz and /readyz")
    host: str = setting("127.0.0.1", "Address to listen on", min_length=1)
    port: int = setting(0, "Port to listen on; 0: any free one, which is logged", ge=0, le=65_535)
    certificate_file: str = setting("", "Certificate (PEM) to serve TLS with; empty: no TLS")
    key_file: str = setting("", "Key of that certificate (PEM); empty: it stands in certificate_file")
    token: SecretStr = setting(NO_SECRET, "Bearer token that /metrics asks for; empty: none")
    token_file: str = setting("", "File with the bearer token")

    @model_validator(mode="after")
    def _fits_together(self) -> HttpSettings:
        if self.token.get_secret_value() and self.token_file:
            raise ValueError("http.token and http.token_file are both set; keep one")
        if self.key_file and not self.certificate_file:
            raise ValueError("http.key_file is set without http.certificate_file: name the certificate too")
        return self


class LearnerSettings(Section):
    """The learner."""

    preset: Literal["default", "fast", "paper"] = setting(
        "default",
        "Which parts learn: all experts; for the highest rates the linear ones and the label trees alone (fast); or "
        "the published method, nothing added (paper; ihomer is accepted as well)",
    )
    partition: Literal["jaccard", "whole", "singletons", "random"] = setting(
        "jaccard",
        "Where clusters of labels come from: the preset's own clustering on Jaccard similarity, or, to compare, one "
        "cluster (whole), one for each label (singletons), or random ones of the same sizes",
    )
    rule: str = setting(
        "balanced",
        "How scores become a label set: balanced, subset, f1, hamming, macro (each for the measure of its name), "
        "top_k:K, threshold:P",
    )
    seed: int = setting(0, "Seed of whatever is random", ge=0)
    scores_top: int = setting(5, "Labels beside the answer that get a score", "labels", ge=0, le=1_000)

    @field_validator("preset", mode="before")
    @classmethod
    def _preset_by_its_name(cls, value: Any) -> Any:
        return ALIASES.get(value, value) if isinstance(value, str) else value

    @field_validator("rule")
    @classmethod
    def _rule_exists(cls, value: str) -> str:
        return str(Rule.parse(value))


class DriftSettings(Section):
    """How changes of the world are noticed; with preset paper, which has its published detectors, all of this rests."""

    detector: Literal["adwin", "page_hinkley", "none"] = setting(
        "adwin", "What watches the loss of every cluster of labels"
    )
    significance: float = setting(
        0.01,
        "Chance of a false alarm at a check over all clusters together, shared out among them",
        "share",
        gt=0,
        lt=1,
    )
    cooldown_rows: int = setting(
        100,
        "Alarms of a cluster in one direction within so many learnt rows are one event, and the partition is tested at "
        "most once",
        "instances",
        ge=0,
    )


class LabelSettings(Section):
    """The label space, and labels that come late."""

    declared: Names = setting((), "Labels known from the start, comma-separated")
    min_count: int = setting(1, "Times a label must have been true before it is predicted", "instances", ge=1)
    maximum: int = setting(
        1_024, "Most labels; the least supported one below min_count leaves first", "labels", ge=1, le=4_096
    )
    retire_after_instances: int = setting(
        0,
        "A label that is not declared and was not true in so many learnt instances retires; 0: none",
        "instances",
        ge=0,
    )
    negative_after_seconds: float = setting(
        0.0,
        "Labels that nobody has said to be true of an instance this long after it are learnt as false; 0: silence says "
        "nothing",
        "seconds",
        ge=0,
    )
    orphan_seconds: float = setting(3_600.0, "How long a label waits for its instance", "seconds", ge=0)
    orphan_count: int = setting(10_000, "Most labels that wait for their instances", "labels", ge=0)
    orphan_bytes: int = setting(64 << 20, "Most memory of labels that wait for their instances", "bytes", ge=0)
    pending_seconds: float = setting(
        604_800.0, "How long an instance waits for its labels, and for corrections of them", "seconds", ge=0
    )
    pending_count: int = setting(
        100_000,
        "Most instances that wait; those whose labels are known leave first, then the oldest",
        "instances",
        ge=0,
    )
    pending_bytes: int = setting(256 << 20, "Most bytes of instances that wait", "bytes", ge=0)

    @model_validator(mode="after")
    def _silence_ends_before_waiting(self) -> LabelSettings:
        if self.negative_after_seconds and self.negative_after_seconds >= self.pending_seconds:
            raise ValueError("negative_after_seconds is not below pending_seconds: instances would leave before it")
        return self


class EncoderSettings(Section):
    """How values become features."""

    text_fields: Names = setting((), "Names in x whose strings are texts, taken as bags of words, comma-separated")
    text_columns: int = setting(
        32_768, "Most features that words and word pairs are hashed to; at most features.maximum", "features", ge=1
    )
    text_words: int = setting(1_000, "Most words that a text gives, the first ones", "words", ge=1)
    text_pairs: bool = setting(True, "Take pairs of neighbouring words too, not only words")
    text_word_length: int = setting(40, "Longest word", "characters", ge=1, le=256)


class FeatureSettings(Section):
    """The feature space."""

    maximum: int = setting(65_536, "Most features; the names seen first keep their columns", "features", ge=1)
    hashed: bool = setting(False, "Hash names to columns instead of growing")


class LimitSettings(Section):
    """What input may ask for."""

    memory_bytes: int = setting(
        4 << 30, "Largest memory that the models may grow to; more is refused at start", "bytes", ge=1
    )
    record_bytes: int = setting(1 << 20, "Largest record", "bytes", ge=1)
    labels_per_record: int = setting(1_024, "Most labels in a record", "labels", ge=1)
    features_per_record: int = setting(65_536, "Most features in a record", "features", ge=1)
    id_bytes: int = setting(256, "Longest id", "bytes", ge=1)
    name_bytes: int = setting(1_024, "Longest name of a feature, and longest feature name=text", "bytes", ge=1)
    label_bytes: int = setting(256, "Longest name of a label: an answer names each of its labels twice", "bytes", ge=1)
    bad_share: float = setting(
        0.5, "Stop when more than this share of the last records cannot be used", "share", gt=0, le=1
    )
    bad_window: int = setting(1_000, "How many of the last records that share is of", "records", ge=1)


class MeasureSettings(Section):
    """Prequential measures."""

    window: int = setting(1_000, "Rows of a windowed measure", "instances", ge=1)
    interval_seconds: float = setting(10.0, "Time between two metrics records", "seconds", gt=0)


class LogSettings(Section):
    """Logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least severity that is logged")
    json_lines: bool = setting(False, "One JSON object a line", alias="json")


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
    def _topics_differ(self) -> Settings:
        topics = self.topics
        used = {name: getattr(topics, name) for name in _TOPIC_ROLES} | {"journal": self.journal_topic}
        for name, topic in used.items():
            for other, taken in used.items():
                if other == name:
                    break
                if topic and topic == taken:
                    raise ValueError(
                        f"topics.{name} and topics.{other} are both {topic!r}; give each a topic of its own"
                    )
        return self

    @model_validator(mode="after")
    def _paper_has_its_own_detectors(self) -> Settings:
        if self.learner.preset == "paper" and self.drift != DriftSettings():
            raise ValueError("learner.preset = paper has its published detectors: leave section drift as it is")
        return self

    @property
    def journal_topic(self) -> str:
        """The journal's topic with its default filled in."""
        return self.topics.journal or f"{self.kafka.group_id}-journal"

    @property
    def transactional_id(self) -> str:
        """What the transactions of this worker carry.

        In scope ``topic`` every worker of the group has the same one, so whoever becomes active fences the one before;
        in scope ``partition`` it is the worker's own.
        """
        return f"{self.kafka.group_id}-{'topic' if self.engine.scope == 'topic' else self.worker.name}"
