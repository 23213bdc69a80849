"""Progress view of the demo: a live screen on a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamlearn.model.model_event import ModelEvent
from streamlearn.state.names import Name
from streamlearn.streams.synthetic import GeneratedStream

EVENT_LINES = 8
"""Latest events on the live screen."""
MEASURES = ("subset_accuracy", "example_f1", "micro_f1", "macro_f1", "hamming_loss")
PLAIN_INTERVAL_ROWS = 1_000
"""Rows between two lines with measures in the plain view."""


class Progress(NamedTuple):
    """Progress of the engine after a commit.

    ``done`` is the number of committed predictions, ``window`` the measures of the latest full window, ``clusters`` the
    label names of each cluster, ``events`` those of the committed batches.
    """

    done: int
    window: dict[str, float | None]
    clusters: Sequence[Sequence[Name]]
    events: Sequence[ModelEvent]


class DemoView(Protocol):
    """Displays the progress of the demo."""

    def display(self, metrics_url: str) -> AbstractContextManager[None]:
        """Return a context in which the view is displayed, around the run of the engine."""
        ...

    def update(self, progress: Progress) -> None:
        """Display the progress after a commit."""
        ...


class _EventLog:
    """Turns known drifts of the stream and events of the model into lines of text, in order of rows."""

    def __init__(self, stream: GeneratedStream) -> None:
        self._coming_drifts = deque(stream.drifts)

    def lines(self, progress: Progress) -> list[str]:
        entries = [(event.row, 1, _event_text(event)) for event in progress.events]
        while self._coming_drifts and self._coming_drifts[0].row < progress.done:
            drift = self._coming_drifts.popleft()
            what = drift.what if drift.what == "label appears" else f"{drift.what} change"
            entries.append((drift.row, 0, f"the stream drifts: {what}"))
        return [f"row {row:>6,}  {text}" for row, _, text in sorted(entries)]


def _event_text(event: ModelEvent) -> str:
    if event.kind == "partition":
        return f"labels are clustered again: saves {event.before - event.after:.3f} nats per row"
    if event.signal == "label_sets":
        return f"{event.after:.0f} rows of label sets seen: label sets are now decoded jointly"
    subject = f"{event.scope} {event.name}".strip()
    text = f"{event.kind} of {subject}: {event.signal} {event.direction}, {event.before:.3f} -> {event.after:.3f}"
    return text if event.action == "none" else f"{text}; {event.action}"


def _clusters_text(clusters: Sequence[Sequence[Name]]) -> str:
    return "  ".join("{" + " ".join(str(name).removeprefix("label_") for name in names) + "}" for names in clusters)


def _value_text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


class LiveView:
    """A screen that is redrawn after every commit."""

    def __init__(self, console: Console, stream: GeneratedStream) -> None:
        self._stream = stream
        self._event_log = _EventLog(stream)
        self._events: deque[str] = deque(maxlen=EVENT_LINES)
        self._live = Live(console=console, auto_refresh=True, refresh_per_second=10)
        self._url = ""
        self._start_time = 0.0

    @contextmanager
    def display(self, metrics_url: str) -> Iterator[None]:
        self._url = metrics_url
        self._start_time = time.monotonic()
        with self._live:
            yield

    def update(self, progress: Progress) -> None:
        self._events.extend(self._event_log.lines(progress))
        self._live.update(self._screen(progress))

    def _screen(self, progress: Progress) -> RenderableType:
        total = self._stream.instances
        rate = progress.done / max(1e-9, time.monotonic() - self._start_time)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total, progress.done, width=30),
            f"{progress.done:,} of {total:,} instances",
            f"{rate:,.0f} per second",
        )
        measures = Table(box=None, pad_edge=False)
        for name in MEASURES:
            measures.add_column(name.replace("_", " "), justify="right")
        measures.add_row(*(_value_text(progress.window[name]) for name in MEASURES))
        events = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._events] or [Text("none yet")]
        return Panel(
            Group(
                head,
                Text(f"metrics   {self._url}"),
                Text(f"clusters  {_clusters_text(progress.clusters)}", no_wrap=True, overflow="ellipsis"),
                Text(),
                measures,
                Text(),
                *events,
            ),
            title=f"streamlearn demo: {self._stream.name}, seed {self._stream.seed}",
        )


class PlainView:
    """Lines of text: every event, and the measures every `PLAIN_INTERVAL_ROWS` rows."""

    def __init__(self, console: Console, stream: GeneratedStream) -> None:
        self._console = console
        self._stream = stream
        self._event_log = _EventLog(stream)
        self._next_row = PLAIN_INTERVAL_ROWS
        self._start_time = 0.0

    @contextmanager
    def display(self, metrics_url: str) -> Iterator[None]:
        self._start_time = time.monotonic()
        self._print(f"{self._stream.name}, seed {self._stream.seed}; metrics at {metrics_url}")
        yield

    def update(self, progress: Progress) -> None:
        for line in self._event_log.lines(progress):
            self._print(line)
        if progress.done >= self._next_row or progress.done == self._stream.instances:
            self._next_row = progress.done - progress.done % PLAIN_INTERVAL_ROWS + PLAIN_INTERVAL_ROWS
            rate = progress.done / max(1e-9, time.monotonic() - self._start_time)
            window = ", ".join(
                f"{name.replace('_', ' ')} {_value_text(progress.window[name])}" for name in MEASURES[:2]
            )
            self._print(
                f"{progress.done:,} of {self._stream.instances:,} instances, {rate:,.0f} per second; "
                f"{window}; clusters {_clusters_text(progress.clusters)}"
            )

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)
