"""A worker as a process: checks, compiled kernels, signals, metrics, then the engine on Kafka."""

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
from streamlearn.settings.secrets import secret
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.telemetry.http_server import ServiceServer
from streamlearn.telemetry.metrics import ServiceMetrics

_logger = logging.getLogger(__name__)

COLLECT_AFTER_OBJECTS = 100_000


def serve(settings: Settings, *, stop_at_end: bool = False, leave: bool = False) -> None:
    """Run a worker until SIGTERM, SIGINT, or the end of what was there at the start.

    Raises
    ------
    StreamlearnError
        When it cannot start or go on; what was committed is kept.
    """
    _logger.info("streamlearn %s, worker %s of group %s", __version__, settings.worker.name, settings.kafka.group_id)
    prepare_topics(settings)
    # Kernels are there before the group is joined: compiling would let the session time out.
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
            token=secret(settings.http.token, settings.http.token_file, "http.token"),
        )
        server.start()
        _logger.info("metrics and health at %s", server.url)

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        _logger.info("%s: finishing the batch at hand", signal.Signals(number).name)
        engine.stop()

    in_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.signal(number, ask_to_stop) for number in _SIGNALS} if in_main_thread else {}
    # A batch makes many short-lived objects: collecting after every 700 of them costs a tenth of the throughput.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 50, 100)
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


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
