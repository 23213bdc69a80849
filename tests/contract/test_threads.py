"""Threads share a classifier, and every answer is that of a classifier used by one thread, at the same row."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from river import drift

from streamlearn import LabelHierarchyClassifier
from tests.contract.serial import Note, differing

PRESETS = ("default", "fast", "paper")
SHORT_SECONDS, LONG_SECONDS = 2.0, 30.0
WAIT_SECONDS = 240.0
SHORT_QUESTIONS = 50
LEAST_ROWS, LEAST_NOTES = 50, 200

Row = tuple[dict[str, float], set[str]]


def endless_rows(seed: int) -> Iterator[Row]:
    """Yield rows of some 20 features and two or three of 35 labels, which depend on the features."""
    generator = random.Random(seed)
    while True:
        group = generator.randrange(20)
        x = {f"f{group}": 1.0, f"h{group % 7}": generator.random()}
        x |= {f"g{generator.randrange(300)}": 1.0 for _ in range(20)}
        y = {f"a{group}", f"b{group // 2}"}
        if generator.random() < 0.3:
            y.add(f"c{generator.randrange(5)}")
        yield x, y


def some_rows(seed: int, count: int) -> list[Row]:
    """Return the first rows of `endless_rows`."""
    return [row for _, row in zip(range(count), endless_rows(seed), strict=False)]


PROBES = [x for x, _ in some_rows(1, 6)]


def asked_of(number: int) -> dict[Hashable, Callable[[Any], Any]]:
    """Return the questions about one instance."""
    x = PROBES[number]
    return {
        ("predict", number): lambda model: model.predict(x),
        ("predict by rule", number): lambda model: model.predict(x, rule="top_k:3"),
        ("predict_one", number): lambda model: model.predict_one(x),
        ("predict_proba_one", number): lambda model: model.predict_proba_one(x),
    }


QUESTIONS: dict[Hashable, Callable[[Any], Any]] = {
    **{question: ask for number in range(len(PROBES)) for question, ask in asked_of(number).items()},
    "predict_many": lambda model: model.predict_many(PROBES),
    "clusters": lambda model: model.clusters,
    "label_names": lambda model: model.label_names,
    "state_hash": lambda model: model.state_hash(),
}
ABOUT_INSTANCES = [question for question in QUESTIONS if isinstance(question, tuple)]


class Shared:
    """A classifier that threads use at the same time, and what they note.

    Attributes
    ----------
    model:
        The classifier.
    rows:
        The rows given to `learn`, in order.
    notes:
        The notes of all readers.
    """

    def __init__(self, model: LabelHierarchyClassifier, folder: Path) -> None:
        self.model = model
        self.rows: list[Row] = []
        self.notes: list[Note] = []
        self._folder = folder

    def learn(self, seconds: float, stop: threading.Event) -> None:
        """Learn row by row for so long after the first row, and long enough for the readers; then stop the readers."""
        deadline = None
        try:
            for row in endless_rows(0):
                self.rows.append(row)
                self.model.learn_one(*row)
                deadline = deadline or time.monotonic() + seconds
                if time.monotonic() > deadline and len(self.rows) >= LEAST_ROWS and len(self.notes) >= LEAST_NOTES:
                    break
        finally:
            stop.set()

    def ask(self, questions: list[Hashable], seed: int) -> None:
        """Ask the classifier itself: it is known between which rows it answered."""
        question = random.Random(seed).choice(questions)
        before = self.model.learned
        answer = QUESTIONS[question](self.model)
        self.notes.append(Note(question, before, self.model.learned, answer))

    def ask_copy(self, copied: Any, questions: list[Hashable]) -> None:
        """Ask a copy, which says itself at which row it was made."""
        self.notes += [Note(each, copied.learned, copied.learned, QUESTIONS[each](copied)) for each in questions]

    def save(self) -> None:
        """Save and load the classifier."""
        path = self._folder / "model.npz"
        self.model.save(path)
        self.ask_copy(LabelHierarchyClassifier.load(path), ["state_hash"])

    def copy(self) -> None:
        """Pickle and copy the classifier."""
        self.ask_copy(pickle.loads(pickle.dumps(self.model)), ["state_hash"])
        self.ask_copy(copy.deepcopy(self.model), ["state_hash"])

    def snapshot(self) -> None:
        """Take a snapshot, and let two threads ask it."""
        taken = self.model.snapshot()
        questions = [*ABOUT_INSTANCES, "predict_many", "clusters", "label_names", "state_hash"]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: self.ask_copy(taken, questions), range(2)))


def use_by_eight_threads(shared: Shared, seconds: float) -> None:
    """Let one thread learn and seven read; raise what any of them raises."""
    stop = threading.Event()

    def repeat(reader: int, read: Callable[[], None]) -> None:
        # Most questions are short, so that rows are learnt between them.
        for number in itertools.count():
            if number % SHORT_QUESTIONS == reader:
                read()
            else:
                shared.ask(ABOUT_INSTANCES, 7 * number + reader)
            # Every reader reads once even if the machine gives it no turn while rows are learnt.
            if number > reader and stop.is_set():
                break

    readers: list[Callable[[], None]] = [
        lambda: shared.ask(["predict_many"], 0),
        lambda: shared.ask(["clusters"], 0),
        lambda: shared.ask(["label_names"], 0),
        lambda: shared.ask(["state_hash"], 0),
        shared.save,
        shared.copy,
        shared.snapshot,
    ]
    with ThreadPoolExecutor(8) as pool:
        learning = pool.submit(shared.learn, seconds, stop)
        reading = [pool.submit(repeat, number, read) for number, read in enumerate(readers)]
        for future in (learning, *reading):
            future.result(timeout=seconds + WAIT_SECONDS)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seconds", [SHORT_SECONDS, pytest.param(LONG_SECONDS, marks=pytest.mark.slow)])
def test_every_answer_of_eight_threads_is_that_of_one_thread(preset: str, seconds: float, tmp_path: Path) -> None:
    # The threads do not wait for a compiler.
    learn_and_answer(LabelHierarchyClassifier(preset=preset), some_rows(0, 3))
    shared = Shared(LabelHierarchyClassifier(preset=preset), tmp_path)
    use_by_eight_threads(shared, seconds)
    assert {note.question for note in shared.notes} >= {"predict_many", "state_hash"}
    assert len({note.before for note in shared.notes}) > 10, "the answers are of few rows"
    assert not differing(LabelHierarchyClassifier(preset=preset), shared.rows, QUESTIONS, shared.notes)


def learn_and_answer(model: LabelHierarchyClassifier, rows: list[Row]) -> tuple[list[Any], str]:
    """Predict and learn row by row; return the answers and the state's hash."""
    answers = []
    for x, y in rows:
        answers.append((model.predict(x), model.predict_proba_one(x)))
        model.learn_one(x, y)
    return answers, model.state_hash()


def test_classifiers_share_nothing() -> None:
    detector = drift.ADWIN(delta=0.5)

    def new_models() -> list[LabelHierarchyClassifier]:
        return [
            *(LabelHierarchyClassifier(preset=preset, text_fields=["title"]) for preset in PRESETS * 2),
            *(LabelHierarchyClassifier(drift_detector=detector) for _ in range(2)),
        ]

    titles = ["late goal", "new law", "Goal by law", "a vote"]
    streams = [some_rows(seed, 40) for seed in range(8)]
    for seed, rows in enumerate(streams):
        if seed < 6:
            streams[seed] = [({**x, "title": titles[(seed + row) % 4]}, y) for row, (x, y) in enumerate(rows)]
    one_by_one = list(map(learn_and_answer, new_models(), streams))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(learn_and_answer, new_models(), streams))
    assert together == one_by_one


FIRST_CALLS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor

sys.setswitchinterval(1e-5)
together = threading.Barrier(6)

def first_call(number):
    together.wait()
    from streamlearn import LabelHierarchyClassifier
    from tests.contract.test_threads import PRESETS, some_rows

    model = LabelHierarchyClassifier(preset=PRESETS[number % 3])
    for x, y in some_rows(0, 30):
        model.predict_one(x)
        model.learn_one(x, y)
    return model.state_hash()

with ThreadPoolExecutor(6) as pool:
    print(*pool.map(first_call, range(6)))
"""


@pytest.mark.parametrize("cache", ["full", pytest.param("empty", marks=pytest.mark.slow)])
def test_threads_import_and_load_or_compile_at_the_same_time(cache: str, tmp_path: Path) -> None:
    expected = [learn_and_answer(LabelHierarchyClassifier(preset=preset), some_rows(0, 30))[1] for preset in PRESETS]
    environment = dict(os.environ)
    if cache == "empty":
        environment["STREAMLEARN_CACHE_DIR"] = str(tmp_path)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", FIRST_CALLS]
    run = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == expected * 2


@pytest.mark.parametrize("method", ["learn_many", "predict_many"])
def test_an_iterator_of_instances_may_wait_for_another_thread(method: str) -> None:
    model = LabelHierarchyClassifier(preset="fast")
    model.learn_many(*zip(*some_rows(0, 10), strict=True))
    with ThreadPoolExecutor(1) as pool:

        def instances() -> Iterator[dict[str, float]]:
            for x in PROBES:
                pool.submit(model.predict, x).result(timeout=WAIT_SECONDS)
                yield x

        truths = [{"a"}] * len(PROBES)
        _ = model.learn_many(instances(), truths) if method == "learn_many" else model.predict_many(instances())
    assert model.learned == (10 + len(PROBES) if method == "learn_many" else 10)


def test_a_shallow_copy_has_its_own_drift_detectors() -> None:
    model = LabelHierarchyClassifier(drift_detector=drift.PageHinkley(), drift_cooldown_rows=10)
    rows = some_rows(0, 40)
    model.learn_many(*zip(*rows[:20], strict=True))
    copied, expected = copy.copy(model), copy.deepcopy(model)
    model.learn_many(*zip(*rows[20:], strict=True))
    assert pickle.dumps(copied) == pickle.dumps(expected)


def test_a_copy_does_not_wait_for_the_original() -> None:
    model = LabelHierarchyClassifier(preset="fast")
    model.learn_many(*zip(*some_rows(0, 10), strict=True))
    with ThreadPoolExecutor(1) as pool, model._turns.threads:
        for other in (model.clone(), copy.copy(model), copy.deepcopy(model), model.snapshot()):
            pool.submit(other.predict, PROBES[0]).result(timeout=WAIT_SECONDS)
