"""The worker process: serves metrics and health, checks topics, compiles kernels and runs the engine on Kafka."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.check.model_versions import check_model_versions
from streamlearn.cleanup import Cleanup
from streamlearn.cli.stop_signals import StopSignals
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.kafka.admin.group_checks import check_group, wait_for_other_workers
from streamlearn.kafka.admin.topics import prepare_topics
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.kafka.partitioners import PARTITIONERS
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource, describe_reserved_name
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.secrets import read_secret
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.telemetry.http_server import ServiceServer
from streamlearn.telemetry.metrics import ServiceMetrics

_logger = logging.getLogger(__name__)

GC_THRESHOLD_OBJECTS = 100_000
"""Allocations that trigger a collection of the youngest generation while the engine runs."""


def serve(
    settings: Settings,
    *,
    stop_at_end: bool = False,
    leave: bool = False,
    drain: bool = False,
    signals: StopSignals | None = None,
) -> None:
    """Run a worker until a signal comes or, with ``stop_at_end``, the end of the records that exist at the start.

    With ``drain`` it restores its models, writes a snapshot of each, and ends.

    Parameters
    ----------
    settings:
        The settings.
    stop_at_end:
        Stop after the records that were on the topics at the start.
    leave:
        Leave the consumer group for good at the end.
    drain:
        Restore the models, write a snapshot of each, and leave the group.
    signals:
        The signals at which the worker stops.

    Raises
    ------
    NotDrainedError
        When it has stopped as asked for, but a model has no snapshot at its committed point.
    StreamlearnError
        When the worker cannot start or continue; what was committed is kept.
    """
    _logger.info(
        "streamlearn %s, model version %d, worker %s of group %s",
        __version__,
        MODEL_VERSION,
        settings.worker.name,
        settings.kafka.group_id,
    )
    store = SnapshotStore(settings.snapshot.location, settings.snapshot.keep)
    calls = ClientCalls()
    watchdog = Watchdog(calls=calls)
    metrics = ServiceMetrics(CollectorRegistry())
    source, sink = KafkaSource(settings, calls=calls), KafkaSink(settings, calls=calls)
    observer = MetricsObserver(
        metrics, settings, sink.publish, partitioners=PARTITIONERS, answered_at=source.answered_at
    )
    server = _start_server(settings, metrics, watchdog, observer) if settings.http.enabled else None
    with Cleanup(watchdog.stop, lambda: None if server is None else server.close()):
        observer.on_start_step(f"checking the topics on {settings.kafka.bootstrap_servers}")
        prepare_topics(settings)
        check_group(settings)
        _check_model_versions(settings, source, store)
        # Kernels are compiled before the worker joins the group: compiling would let its session time out.
        warm_up(settings, lambda text: _report_start_step(observer, text))
        if drain:
            observer.on_start_step("waiting for other workers to leave the group")
            wait_for_other_workers(settings)
        observer.on_start_step("")
        engine = Engine(settings, source, sink, store, observer=observer, watchdog=watchdog)
        if signals is not None:
            signals.hand_over(
                engine.stop,
                lambda: engine.has_nothing_to_save,
                is_disconnecting=lambda: engine.is_disconnecting,
                describe_rest=lambda: describe_reserved_name(settings) if engine.is_member else "",
            )
        with _rare_garbage_collection():
            watchdog.start()
            if drain:
                engine.drain()
            else:
                engine.run(stop_at_end=stop_at_end, leave=leave)
    _logger.info("stopped")


def _check_model_versions(settings: Settings, source: KafkaSource, store: SnapshotStore) -> None:
    # A worker that was killed may have left a transaction open, and does not change the version by it.
    reader = source.observer(settled=False)
    with Cleanup(lambda: reader.close(leave=False)):
        check_model_versions(settings, reader, store)


def _report_start_step(observer: MetricsObserver, text: str) -> None:
    _logger.info(text)
    observer.on_start_step(text)


def _start_server(
    settings: Settings, metrics: ServiceMetrics, watchdog: Watchdog, observer: MetricsObserver
) -> ServiceServer:
    server = ServiceServer(
        settings.http.host,
        settings.http.port,
        metrics.registry,
        watchdog.problem,
        observer.ready,
        observer.describe,
        certificate_file=settings.http.certificate_file,
        key_file=settings.http.key_file,
        token=read_secret(settings.http.token, settings.http.token_file, "http.token"),
    )
    server.start()
    _logger.info("metrics and health at %s", server.url)
    return server


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Make garbage collection rare: a batch allocates many short-lived objects, and with the default threshold of 700
    collections cost a tenth of the throughput."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD_OBJECTS, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
