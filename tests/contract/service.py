"""A FastAPI service with one classifier, whose `def` endpoints run in threads. Run as a program:

    python -m tests.contract.service PRESET

It prints its port on standard output once it listens there.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from streamlearn import LabelHierarchyClassifier

QUESTIONS: dict[str, Callable[[Any, dict[str, float]], Any]] = {
    "predict": lambda model, x: model.predict(x),
    "predict_one": lambda model, x: model.predict_one(x),
    "probabilities": lambda model, x: {name: of[True] for name, of in model.predict_proba_one(x).items()},
    "state_hash": lambda model, x: model.state_hash(),
}
"""What a client may ask the classifier, or a snapshot of it, about an instance."""


class Instance(BaseModel):
    """An instance."""

    x: dict[str, float]


class Labelled(Instance):
    """An instance with its complete truth."""

    labels: list[str]


class Answer(BaseModel):
    """An answer, with the rows learnt before the question was asked and after it was answered."""

    before: int
    after: int
    answer: Any


def application(preset: str) -> FastAPI:
    """Return the service."""
    app = FastAPI()
    model = LabelHierarchyClassifier(preset=preset)

    @app.post("/learn")
    def learn(row: Labelled) -> int:
        model.learn_one(row.x, set(row.labels))
        return model.learned

    @app.post("/ask/{question}")
    def ask(question: str, instance: Instance) -> Answer:
        before = model.learned
        answer = QUESTIONS[question](model, instance.x)
        return Answer(before=before, after=model.learned, answer=answer)

    @app.post("/ask-snapshot/{question}")
    def ask_snapshot(question: str, instance: Instance) -> Answer:
        taken = model.snapshot()
        answer = QUESTIONS[question](taken, instance.x)
        return Answer(before=taken.learned, after=taken.learned, answer=answer)

    return app


def main() -> None:
    """Serve on a free port until the process is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201
        uvicorn.Server(uvicorn.Config(application(sys.argv[1]), log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
