"""What the threads of a classifier cost: its lock, and the calls that keep others waiting. Run as a command:

    python -m tests.benchmarks.threads [--megabytes N] [--runs N]

Prints the share of a call that taking the lock costs while no other thread wants it, and the time of the calls that
read the whole state of a model of at least ``--megabytes``: the fastest run, in processor time of the thread, which
other processes of the machine do not change. Pages that the system provides for the first time are part of it.
"""

from __future__ import annotations

import argparse
import copy
import pickle
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streamlearn import LabelHierarchyClassifier
from streamlearn.streams.synthetic import generator
from streamlearn.turns import Turns
from tests.benchmarks.figures import Figure, add_history_option, keep

PRESETS = ("default", "fast", "paper")
ROWS = [(row.x, set(row.y or ())) for row in generator("meta-labels", seed=0, instances=200)]
REPEATS = 20_000
NEW_FEATURES = 200
LABELS = 200


class LockCost(NamedTuple):
    """Nanoseconds to take and release the locks as often as a call does, and nanoseconds of the call."""

    lock: float
    call: float

    @property
    def share(self) -> float:
        """Part of the call's time."""
        return self.lock / self.call


class _CountingTurns(Turns):
    """Counts the turns."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def call(self) -> threading.Lock:
        self.taken += 1
        return super().call()


def fastest(call: Callable[[], object], runs: int) -> float:
    """Return the processor seconds of the fastest of several runs."""
    taken = []
    for _ in range(runs):
        begun = time.thread_time()
        call()
        taken.append(time.thread_time() - begun)
    return min(taken)


def lock_costs(preset: str, runs: int) -> dict[str, LockCost]:
    """Return the cost of the lock in each method that is called per row."""
    model = LabelHierarchyClassifier(preset=preset)
    model.learn_many(*zip(*ROWS, strict=True))

    def take_lock() -> None:
        turns = model._turns
        for _ in range(REPEATS):
            with turns.threads, turns.call():
                pass

    once = fastest(take_lock, runs) / REPEATS
    calls: dict[str, Callable[[], object]] = {
        "learn_one": lambda: [model.learn_one(x, y) for x, y in ROWS],
        "predict": lambda: [model.predict(x) for x, _ in ROWS],
        "predict_one": lambda: [model.predict_one(x) for x, _ in ROWS],
        "predict_proba_one": lambda: [model.predict_proba_one(x) for x, _ in ROWS],
    }
    found = {}
    for name, call in calls.items():
        own, counting = model._turns, _CountingTurns()
        vars(model)["_turns"] = counting
        call()
        vars(model)["_turns"] = own
        taken = counting.taken / len(ROWS)
        found[name] = LockCost(1e9 * taken * once, 1e9 * fastest(call, runs) / len(ROWS))
    return found


def large_model(preset: str, size: float) -> LabelHierarchyClassifier:
    """Return a model of at least so many bytes, which has learnt rows of features that no other row has."""
    model = LabelHierarchyClassifier(preset=preset)
    row = 0
    while model._model.memory_bytes() < size:
        x = {f"{row} {feature}": 1.0 for feature in range(NEW_FEATURES)}
        model.learn_one(x, {f"label {row % LABELS}"})
        row += 1
    return model


def pauses(model: LabelHierarchyClassifier, runs: int) -> dict[str, float]:
    """Return the processor seconds of the calls that keep other threads waiting."""
    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], object]] = {
            "snapshot": model.snapshot,
            "state_hash": model.state_hash,
            "save": lambda: model.save(Path(folder) / "model.npz"),
            "pickle": lambda: pickle.dumps(model),
            "deepcopy": lambda: copy.deepcopy(model),
        }
        return {name: fastest(call, runs) for name, call in calls.items()}


def main() -> None:
    """Measure, print a line per figure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100.0, help="size of the large model (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each call (%(default)s)")
    add_history_option(parser)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    for preset in PRESETS:
        for name, cost in lock_costs(preset, options.runs).items():
            figures[f"{preset}/{name} lock"] = Figure(100 * cost.share, "%", "lower")
            print(f"{preset:8} {name:18} {cost.lock:5.0f} ns of {cost.call / 1e3:6.1f} us: {cost.share:.2%}")  # noqa: T201
        model = large_model(preset, 1e6 * options.megabytes)
        size = model._model.memory_bytes() / 1e6
        for name, seconds in pauses(model, options.runs).items():
            figures[f"{preset}/{name} pause"] = Figure(1e3 * seconds, "ms", "lower")
            print(f"{preset:8} {name:18} {1e3 * seconds:5.0f} ms for {size:.0f} MB", flush=True)  # noqa: T201
    keep("threads", figures, options)


if __name__ == "__main__":
    main()
