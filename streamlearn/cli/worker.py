"""The worker process: checks topics, compiles kernels, serves metrics, handles signals and runs the engine on Kafka."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from types import FrameType

from prometheus_client import CollectorRegistry

from streamlearn._version import __version__
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.kafka.admin.topics import prepare_topics
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.secrets import read_secret
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.telemetry.http_server import ServiceServer
from streamlearn.telemetry.metrics import ServiceMetrics

_logger = logging.getLogger(__name__)

GC_THRESHOLD_OBJECTS = 100_000
"""Allocations that trigger a collection of the youngest generation while the engine runs."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(settings: Settings, *, stop_at_end: bool = False, leave: bool = False) -> None:
    """Run a worker until SIGTERM, SIGINT or, with ``stop_at_end``, the end of the records that exist at the start.

    Parameters
    ----------
    settings:
        The settings.
    stop_at_end:
        Stop after the records that were on the topics at the start.
    leave:
        Leave the consumer group for good at the end.

    Raises
    ------
    StreamlearnError
        When the worker cannot start or continue; what was committed is kept.
    """
    _logger.info("streamlearn %s, worker %s of group %s", __version__, settings.worker.name, settings.kafka.group_id)
    prepare_topics(settings)
    # Kernels are compiled before the worker joins the group: compiling would let its session time out.
    warm_up(settings, _logger.info)
    store = SnapshotStore(settings.snapshot.location, settings.snapshot.keep)
    watchdog = Watchdog()
    metrics = ServiceMetrics(CollectorRegistry())
    sink = KafkaSink(settings)
    observer = MetricsObserver(metrics, settings, sink.publish)
    engine = Engine(settings, KafkaSource(settings), sink, store, observer=observer, watchdog=watchdog)
    server: ServiceServer | None = None
    if settings.http.enabled:
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

    def request_stop(number: int, frame: FrameType | None) -> None:
        _logger.info("%s: stopping after the current batch", signal.Signals(number).name)
        engine.stop()

    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.signal(number, request_stop) for number in _SIGNALS} if in_main_thread else {}
    # A batch allocates many short-lived objects: with the default threshold of 700, collections cost a tenth of the
    # throughput.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD_OBJECTS, 50, 100)
    watchdog.start()
    try:
        engine.run(stop_at_end=stop_at_end, leave=leave)
    finally:
        watchdog.stop()
        if server is not None:
            server.close()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    _logger.info("stopped")
