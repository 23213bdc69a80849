"""What the demo shows while it runs: a live screen on a terminal, lines of text elsewhere."""

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

from streamlearn.model.micro_batch import ModelEvent
from streamlearn.streams.synthetic import GeneratedStream

SHOWN_EVENTS = 8
SHOWN_MEASURES = ("subset_accuracy", "example_f1", "micro_f1", "macro_f1", "hamming_loss")
PLAIN_EVERY = 1_000


class Progress(NamedTuple):
    """Where the engine is after a commit; ``events`` are those of the batches committed."""

    done: int
    window: dict[str, float | None]
    clusters: list[list[str]]
    events: Sequence[ModelEvent]


class DemoView(Protocol):
    """Shows progress."""

    def shown(self, metrics_url: str) -> AbstractContextManager[None]:
        """Show while the engine runs."""
        ...

    def update(self, progress: Progress) -> None:
        """Show what a commit brought."""
        ...


class _Announcer:
    """Says what happened, in order: known changes of the stream and events of the model."""

    def __init__(self, stream: GeneratedStream) -> None:
        self._known = deque(stream.drifts)

    def lines(self, progress: Progress) -> list[str]:
        happened = [(event.row, 1, _described(event)) for event in progress.events]
        while self._known and self._known[0].row < progress.done:
            drift = self._known.popleft()
            what = drift.what if drift.what == "label appears" else f"{drift.what} change"
            happened.append((drift.row, 0, f"the stream drifts: {what}"))
        return [f"row {row:>6,}  {text}" for row, _, text in sorted(happened)]


def _described(event: ModelEvent) -> str:
    if event.kind == "partition":
        return f"labels are grouped anew: {event.before - event.after:.3f} nats a row are saved"
    if event.signal == "label_sets":
        return f"{event.after:.0f} rows of label sets seen: answers are decoded jointly"
    where = f"{event.scope} {event.name}".strip()
    text = f"{event.kind} of {where}: {event.signal} {event.direction}, {event.before:.3f} -> {event.after:.3f}"
    return text if event.action == "none" else f"{text}; {event.action}"


def _clusters(clusters: Sequence[Sequence[str]]) -> str:
    return "  ".join("{" + " ".join(name.removeprefix("label_") for name in names) + "}" for names in clusters)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


class LiveView:
    """A screen that is drawn anew with every commit."""

    def __init__(self, console: Console, stream: GeneratedStream) -> None:
        self._stream = stream
        self._announcer = _Announcer(stream)
        self._events: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self._live = Live(console=console, auto_refresh=True, refresh_per_second=10)
        self._url = ""
        self._begun = 0.0

    @contextmanager
    def shown(self, metrics_url: str) -> Iterator[None]:
        self._url = metrics_url
        self._begun = time.monotonic()
        with self._live:
            yield

    def update(self, progress: Progress) -> None:
        self._events.extend(self._announcer.lines(progress))
        self._live.update(self._screen(progress))

    def _screen(self, progress: Progress) -> RenderableType:
        total = self._stream.instances
        rate = progress.done / max(1e-9, time.monotonic() - self._begun)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total, progress.done, width=30),
            f"{progress.done:,} of {total:,} instances",
            f"{rate:,.0f} a second",
        )
        measures = Table(box=None, pad_edge=False)
        for name in SHOWN_MEASURES:
            measures.add_column(name.replace("_", " "), justify="right")
        measures.add_row(*(_number(progress.window[name]) for name in SHOWN_MEASURES))
        events = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._events] or [Text("none so far")]
        return Panel(
            Group(
                head,
                Text(f"metrics   {self._url}"),
                Text(f"clusters  {_clusters(progress.clusters)}", no_wrap=True, overflow="ellipsis"),
                Text(),
                measures,
                Text(),
                *events,
            ),
            title=f"streamlearn demo: {self._stream.name}, seed {self._stream.seed}",
        )


class PlainView:
    """Lines of text: every event, and the measures from time to time."""

    def __init__(self, console: Console, stream: GeneratedStream) -> None:
        self._console = console
        self._stream = stream
        self._announcer = _Announcer(stream)
        self._next = PLAIN_EVERY
        self._begun = 0.0

    @contextmanager
    def shown(self, metrics_url: str) -> Iterator[None]:
        self._begun = time.monotonic()
        self._print(f"{self._stream.name}, seed {self._stream.seed}; metrics at {metrics_url}")
        yield

    def update(self, progress: Progress) -> None:
        for line in self._announcer.lines(progress):
            self._print(line)
        if progress.done >= self._next or progress.done == self._stream.instances:
            self._next = progress.done - progress.done % PLAIN_EVERY + PLAIN_EVERY
            rate = progress.done / max(1e-9, time.monotonic() - self._begun)
            window = ", ".join(
                f"{name.replace('_', ' ')} {_number(progress.window[name])}" for name in SHOWN_MEASURES[:2]
            )
            self._print(
                f"{progress.done:,} of {self._stream.instances:,} instances, {rate:,.0f} a second; "
                f"{window}; clusters {_clusters(progress.clusters)}"
            )

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
