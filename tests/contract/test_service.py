"""A FastAPI service answers six clients at the same time as a classifier that one thread uses, at the same row."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamlearn import LabelHierarchyClassifier
from tests.contract.serial import Note, differing
from tests.contract.service import QUESTIONS
from tests.contract.test_threads import PRESETS, PROBES, Row, learn_and_answer, some_rows

ROOT = Path(__file__).parents[2]
READERS = 5
SECONDS = 240.0


@contextmanager
def served(preset: str) -> Iterator[int]:
    """Run the service, and yield its port."""
    command = [sys.executable, "-m", "tests.contract.service", preset]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
            assert process.poll() is None, f"the service ended with status {process.returncode}"
        finally:
            process.terminate()


class Client:
    """One connection to the service."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a request; return what the response holds."""
        self._connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return json.loads(content)


def learn(port: int, rows: list[Row], stop: threading.Event) -> None:
    """Let a client teach the service all rows, and then stop the others."""
    client = Client(port)
    try:
        for row, (x, labels) in enumerate(rows, 1):
            assert client.post("/learn", {"x": x, "labels": sorted(labels)}) == row
    finally:
        stop.set()


def ask(port: int, stop: threading.Event, least: int, number: int) -> list[Note]:
    """Let a client ask until it is stopped, and at least so many times; return its notes."""
    client, chance, notes = Client(port), random.Random(number), []
    for asked in itertools.count():
        if asked >= least and stop.is_set():
            return notes
        question, probe = chance.choice(list(QUESTIONS)), chance.randrange(len(PROBES))
        path = "ask-snapshot" if asked % 10 == 0 else "ask"
        found = client.post(f"/{path}/{question}", {"x": PROBES[probe]})
        notes.append(Note((question, probe), found["before"], found["after"], found["answer"]))
    raise AssertionError


def answer(question: str, probe: int, model: LabelHierarchyClassifier) -> Any:
    """Return an answer as JSON gives it."""
    return json.loads(json.dumps(QUESTIONS[question](model, PROBES[probe])))


@pytest.mark.parametrize(
    ("preset", "rows", "least"),
    [("default", 60, 40), *(pytest.param(preset, 1_500, 1_000, marks=pytest.mark.slow) for preset in PRESETS)],
)
def test_a_service_answers_six_clients_as_one_thread_would(preset: str, rows: int, least: int) -> None:
    learnt, stop = some_rows(0, rows), threading.Event()
    # Its kernels are compiled or loaded, so that the service loads them.
    learn_and_answer(LabelHierarchyClassifier(preset=preset), learnt[:3])
    with served(preset) as port, ThreadPoolExecutor(1 + READERS) as pool:
        learning = pool.submit(learn, port, learnt, stop)
        reading = [pool.submit(ask, port, stop, least, number) for number in range(READERS)]
        learning.result(timeout=SECONDS)
        notes = [note for future in reading for note in future.result(timeout=SECONDS)]
    assert len({note.before for note in notes}) > 10, "the answers are of few rows"
    questions: dict[Hashable, Callable[[Any], Any]] = {
        (question, probe): partial(answer, question, probe) for question in QUESTIONS for probe in range(len(PROBES))
    }
    assert not differing(LabelHierarchyClassifier(preset=preset), learnt, questions, notes)
