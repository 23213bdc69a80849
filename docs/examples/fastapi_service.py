"""A tagging service: FastAPI answers and learns with one embedded classifier.

    pip install streamlearn fastapi uvicorn
    uvicorn fastapi_service:app

    curl -s localhost:8000/learn -H 'content-type: application/json' \
        -d '{"x": {"goal": 1, "match": 1}, "labels": ["sport"]}'
    curl -s localhost:8000/predict -H 'content-type: application/json' -d '{"x": {"match": 1}}'
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel

from streamlearn import LabelHierarchyClassifier, warm_up


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the compiled kernels, or compile them, before the first request is taken."""
    warm_up()
    yield


app = FastAPI(title="Tagging", lifespan=lifespan)
model = LabelHierarchyClassifier(text_fields=["title"])
# FastAPI runs `def` endpoints in threads; calls on a classifier take turns.


class Instance(BaseModel):
    x: dict[str, float | bool | str | None]


class Labelled(Instance):
    labels: list[str]


@app.post("/predict")
def predict(instance: Instance) -> dict[str, list[str] | dict[str, float]]:
    """Return the label set and the scores of an instance."""
    answer = model.predict(instance.x)
    return {"labels": answer.labels, "scores": answer.scores}


@app.post("/learn")
def learn(instance: Labelled) -> dict[str, int]:
    """Learn the complete label set of an instance."""
    model.learn_one(instance.x, set(instance.labels))
    return {"learned": model.learned}
