"""Declarations of all Prometheus metrics of the service, on a registry that is passed in.

Names of the stream's labels and features are never values of a Prometheus label, since their number is not bounded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import xor
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import values as client_values

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.errors import Reason
from streamlearn.model.measures import NAMES
from streamlearn.telemetry.attempts import ATTEMPTS
from streamlearn.telemetry.outage_metrics import OutageMetrics

PREFIX = "streamlearn"
OUTCOMES = ("predicted", "learned", "corrected", "assumed_negative", "dead_letter")
EVENT_KINDS = ("drift", "partition", "label", "tree", "partitioner", "upgrade", "other")
REASONS = (*get_args(Reason), "other")
DROPPED = (
    "nan",
    "infinite",
    "text_too_long",
    "word_too_long",
    "text_words_full",
    "features_full",
    "labels_full",
    "other",
)
TIMESTAMP_FAULTS = ("ahead", "missing")
BOUNDED = (
    "labels",
    "features",
    "remembered_instances",
    "remembered_bytes",
    "orphan_labels",
    "orphan_bytes",
    "model_bytes",
)
ROLES = ("starting", "unassigned", "restoring", "active", "stand-by", "stopping")
_CHAIN_DIGITS = 12
"""Hexadecimal digits of the chain that a gauge, a float64, holds exactly."""
_BUCKET_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """The metrics of one worker.

    Parameters
    ----------
    registry:
        The registry to declare them on; two workers in one process need two registries.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        with _values_in_memory():
            self._declare(registry)

    def _declare(self, registry: CollectorRegistry) -> None:
        def counters(name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Counter]:
            metric = Counter(f"{PREFIX}_{name}", text, [label], registry=registry)
            return {value: metric.labels(value) for value in values}

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"{PREFIX}_{name}_seconds", text, registry=registry, buckets=_BUCKET_SECONDS)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, registry=registry)

        def gauges(name: str, text: str, label: str, values: tuple[str, ...]) -> dict[str, Gauge]:
            metric = Gauge(f"{PREFIX}_{name}", text, [label], registry=registry)
            return {value: metric.labels(value) for value in values}

        self.records = counters("records_total", "Records by outcome.", "outcome", OUTCOMES)
        self.events = counters("events_total", "Events of the model by kind.", "kind", EVENT_KINDS)
        self.dead_letters = counters("dead_letters_total", "Dead letters by reason.", "reason", REASONS)
        self.refused_again = Counter(
            f"{PREFIX}_refused_again_total", "Replayed dead letters that were refused again.", registry=registry
        )
        self.dropped = counters("dropped_values_total", "Values that were left out, by reason.", "reason", DROPPED)
        self.timestamps = counters(
            "timestamps_total",
            "Records stamped further ahead of event time than labels.clock_tolerance_seconds, or without a timestamp.",
            "fault",
            TIMESTAMP_FAULTS,
        )
        self.batch_seconds = histogram("batch", "Time from applying the first record of a batch to its commit.")
        self.learn_seconds = histogram("learn", "Time to predict and learn a batch.")
        self.commit_seconds = histogram("commit", "Time to commit a batch.")
        self.failures = counters("failures_total", "Failures of what brokers were asked for.", "of", ATTEMPTS)
        self.retries = counters("retries_total", "Repetitions of what brokers were asked for.", "of", ATTEMPTS)
        self.aborted_transactions = Counter(
            f"{PREFIX}_aborted_transactions_total",
            "Transactions of this worker that were not committed.",
            registry=registry,
        )
        self.outage = OutageMetrics(PREFIX, registry)
        self.labels = gauge("labels", "Known labels.")
        self.features = gauge("features", "Known features.")
        self.clusters = gauge("clusters", "Top-level clusters of labels.")
        self.model_bytes = gauge("model_bytes", "Bytes of the arrays of the models, as of the last metrics interval.")
        self.pending = gauge("pending_instances", "Instances that wait for their labels.")
        self.remembered = gauge("remembered_instances", "Instances kept for their labels or for corrections of them.")
        self.remembered_bytes = gauge("remembered_bytes", "Bytes of the instances in remembered_instances.")
        self.evicted = gauge("evicted_instances", "Instances dropped before all their labels were known.")
        self.orphans = gauge("orphan_labels", "Labels that wait for their instance.")
        self.orphan_bytes = gauge("orphan_bytes", "Bytes of the labels in orphan_labels.")
        self.misplaced_label_share = gauge(
            "misplaced_label_share", "Share of the last labels that wait in another partition than their instances."
        )
        self.bounds = gauges("bound", "Upper bound of the gauge of this name, per model.", "of", BOUNDED)
        self.sequence = gauge("sequence", "Batches applied since the start of the model; the sum over several models.")
        self.chain = gauge(
            "chain", "First 48 bits of the hash chain: workers with equal sequence and chain hold the same model."
        )
        self.stand_by_warm = gauge(
            "stand_by_warm", "1 while the worker is a standby that follows the active worker's model."
        )
        self.restored_rows = gauge("restored_rows", "Rows replayed by the last restore.")
        self.restored_share = gauge("restored_share", "Share of the batches to replay that the restore has applied.")
        self.snapshot_bytes = gauge("snapshot_bytes", "Bytes of the last written snapshot.")
        self.snapshot_seconds = gauge("snapshot_seconds", "Time to write the last snapshot.")
        self.snapshot_pause_seconds = histogram(
            "snapshot_pause", "Time that predictions waited for a snapshot to be taken."
        )
        self.snapshot_failures = gauge(
            "snapshot_failures", "Snapshots that could not be written since the worker started."
        )
        self.window = gauges("window_measure", "Prequential measure over the last full window.", "measure", NAMES)
        self.whole = gauges("whole_measure", "Prequential measure over the whole stream.", "measure", NAMES)
        self.roles = gauges("role", "1 for the current role of the worker.", "role", ROLES)
        self.clear_measures()
        build = Gauge(
            f"{PREFIX}_build_info", "Versions of the running release.", ["version", "model_version"], registry=registry
        )
        build.labels(__version__, str(MODEL_VERSION)).set(1)

    def count_dead_letter(self, reason: str) -> None:
        """Count a dead letter; an unknown reason counts as ``other``."""
        _child(self.dead_letters, reason).inc()

    def count_event(self, kind: str) -> None:
        """Count an event of the model; an unknown kind counts as ``other``."""
        _child(self.events, kind).inc()

    def count_dropped(self, reason: str, count: int) -> None:
        """Count values that were left out; an unknown reason counts as ``other``."""
        _child(self.dropped, reason).inc(count)

    def set_measures(self, window: Mapping[str, float | None], whole: Mapping[str, float | None]) -> None:
        """Set the prequential measures; one without enough rows, None, becomes NaN."""
        for gauges, values in ((self.window, window), (self.whole, whole)):
            for name, value in values.items():
                gauges[name].set(float("nan") if value is None else value)

    def clear_measures(self) -> None:
        """Set the prequential measures to NaN: there is no model to measure."""
        self.set_measures(dict.fromkeys(NAMES), dict.fromkeys(NAMES))

    def set_marks(self, marks: Sequence[tuple[int, str]]) -> None:
        """Set sequence and chain from those of every model; chains are hexadecimal and combined by XOR."""
        self.sequence.set(sum(seq for seq, _ in marks))
        self.chain.set(reduce(xor, (int(chain[:_CHAIN_DIGITS], 16) for _, chain in marks), 0))

    def set_stand_by(self, *, warm: bool, lag_batches: int) -> None:
        """Set whether a standby follows the active worker, and how far behind it is."""
        self.stand_by_warm.set(warm)
        self.outage.set_stand_by_lag(lag_batches if warm else None)

    def set_role(self, role: str) -> None:
        """Set the worker's role."""
        for name, gauge in self.roles.items():
            gauge.set(1 if name == role else 0)


@contextlib.contextmanager
def _values_in_memory() -> Iterator[None]:
    """Keep the values of the metrics that are declared inside in this process's memory.

    With ``PROMETHEUS_MULTIPROC_DIR`` in the environment, the client keeps them in files of that folder instead: these
    are named by process id only, so two workers, or a worker and its predecessor in a container, share their counters.
    """
    chosen = client_values.ValueClass
    client_values.ValueClass = client_values.MutexValue
    try:
        yield
    finally:
        client_values.ValueClass = chosen


def _child(children: Mapping[str, Counter], value: str) -> Counter:
    """Return the counter of a label value, or that of ``other``."""
    return children.get(value, children["other"])
