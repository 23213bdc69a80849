"""The demo: runs the engine from an in-memory log to files, with a view of its progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import FrameType

import msgspec
import typer
from prometheus_client import CollectorRegistry
from rich.text import Text

from streamlearn.cleanup import Cleanup
from streamlearn.cli.demo_summary import summary_table
from streamlearn.cli.demo_view import DemoView, LiveView, PlainView, Progress
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.engine.observer import NullObserver
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import UsageError
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.settings import EngineSettings, KafkaSettings, MeasureSettings, Settings
from streamlearn.sink.file import FileSink
from streamlearn.source.memory import MemorySource
from streamlearn.source.memory_log import MemoryLog
from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic import generator
from streamlearn.telemetry.http_server import ServiceServer
from streamlearn.telemetry.metrics import ServiceMetrics
from streamlearn.terminal import console

GROUP = "streamlearn-demo"
BATCH_INSTANCES = 200
WINDOW = 500
METRICS_INTERVAL_SECONDS = 1e-6
"""So short that every batch publishes a metrics record."""
INTERRUPTED_STATUS = 130


class _Prediction(msgspec.Struct):
    labels: list[str]


class _DemoObserver(NullObserver):
    """Forwards engine events to the metrics and the view, and keeps the label sets of committed predictions."""

    def __init__(self, metrics: MetricsObserver, view: DemoView, settings: Settings) -> None:
        self._metrics = metrics
        self._view = view
        self._predictions_topic = settings.topics.predictions
        self._decode = msgspec.json.Decoder(_Prediction).decode
        self._applied: list[AppliedBatch] = []
        self.answers: list[list[str]] = []

    def on_applied(self, task: Task, applied: AppliedBatch, learn_seconds: float) -> None:
        self._metrics.on_applied(task, applied, learn_seconds)
        self._applied.append(applied)

    def on_committed(self, tasks: Mapping[int, Task], batch_seconds: float, commit_seconds: float) -> None:
        self._metrics.on_committed(tasks, batch_seconds, commit_seconds)
        events = []
        for applied in self._applied:
            events.extend(applied.events)
            self.answers.extend(
                self._decode(output.value or b"").labels
                for output in applied.outputs
                if output.topic == self._predictions_topic
            )
        self._applied.clear()
        model = tasks[0].model
        self._view.update(Progress(len(self.answers), model.measures.window_latest(), model.clusters(), events))

    def on_loop(self, tasks: Mapping[int, Task]) -> None:
        self._metrics.on_loop(tasks)

    def on_role(self, role: str, tasks: Mapping[int, Task]) -> None:
        self._metrics.on_role(role, tasks)

    def on_lag(self, records: int | None, seconds: float | None) -> None:
        self._metrics.on_lag(records, seconds)


def run_demo(instances: int, seed: int, out: Path | None) -> None:
    """Run the demo and print its summary.

    Raises
    ------
    UsageError
        When ``out`` exists and is not an empty folder.
    typer.Exit
        With status 130, when it was interrupted.
    """
    folder = _output_folder(out)
    out_console = console(highlight=False)
    settings = Settings(
        kafka=KafkaSettings(group_id=GROUP),
        engine=EngineSettings(batch_instances=BATCH_INSTANCES),
        measures=MeasureSettings(window=WINDOW, interval_seconds=METRICS_INTERVAL_SECONDS),
    )
    live = out_console.is_terminal and not out_console.is_dumb_terminal
    if live:
        with out_console.status(Text("kernels")) as status:
            warm_up(settings, lambda text: status.update(Text(text)))
    else:
        warm_up(settings, lambda text: out_console.print(text))
    stream = generator("drifting", seed=seed, instances=instances)
    rows = list(stream)
    view = (LiveView if live else PlainView)(out_console, stream)
    answers, interrupted = _run_engine(settings, rows, folder, view)
    out_console.print(summary_table(stream, rows, answers))
    topics = settings.topics
    names = ", ".join(f"{topic}.jsonl" for topic in (topics.predictions, topics.events, topics.metrics))
    out_console.print(f"{len(answers):,} predictions; {names} are in {folder}", soft_wrap=True)
    if interrupted:
        out_console.print(f"interrupted after {len(answers):,} of {instances:,} instances; what was written is kept")
        raise typer.Exit(INTERRUPTED_STATUS)


def _run_engine(
    settings: Settings, rows: list[StreamRow], folder: Path, view: DemoView
) -> tuple[list[list[str]], bool]:
    """Run the engine over the rows; return the label sets in order, and whether the run was interrupted."""
    log = _instance_log(settings.topics.instances, rows)
    topics = settings.topics
    sink = FileSink(folder, (topics.predictions, topics.events, topics.metrics), log, GROUP)
    registry = CollectorRegistry()
    metrics = MetricsObserver(ServiceMetrics(registry), settings, sink.publish)
    observer = _DemoObserver(metrics, view, settings)
    engine = Engine(settings, MemorySource(log, [topics.instances], GROUP), sink, observer=observer)
    interrupted = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        engine.stop()

    server = ServiceServer(settings.http.host, settings.http.port, registry, lambda: None, metrics.ready)
    handlers = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    server.start()
    with (
        Cleanup(server.close, lambda: [signal.signal(number, handler) for number, handler in handlers.items()]),
        view.display(f"{server.url}/metrics"),
    ):
        engine.run(stop_at_end=True)
    return observer.answers, interrupted.is_set() and len(observer.answers) < len(rows)


def _instance_log(topic: str, rows: list[StreamRow]) -> MemoryLog:
    """Return a log with the rows as instance records that carry their labels."""
    log = MemoryLog()
    encode = msgspec.json.Encoder().encode
    for row in rows:
        log.append(topic, 0, encode({"id": row.id, "x": row.x, "y": row.y}))
    return log


def _output_folder(out: Path | None) -> Path:
    """Return ``out`` if it is new or empty; without it, the first free name of streamlearn-demo, -2, -3 ..."""
    if out is not None:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError(f"--out {out} exists and is not an empty folder: give a new one")
        return out
    names = (Path("streamlearn-demo" if number == 1 else f"streamlearn-demo-{number}") for number in count(1))
    return next(path for path in names if not path.exists())
