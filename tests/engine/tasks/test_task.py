"""A task takes the state of a task with text names only."""

from __future__ import annotations

from typing import Any

import pytest

from streamlearn.engine.tasks.task import Task
from streamlearn.errors import SnapshotError
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from streamlearn.state.array_names import TaskPart, join_parts


def _state(x: dict[Any, Any], labels: list[Any]) -> dict[str, Any]:
    model = StreamModel(Settings(), labels=labels)
    batch = model.new_batch()
    batch.predict(x)
    model.apply(batch)
    task = Task(Settings(), 0, [], "lineage")
    return task.arrays() | join_parts({TaskPart.MODEL: model.arrays()})


def test_names_that_are_no_text_are_refused() -> None:
    Task(Settings(), 0, [], "lineage").load_arrays(_state({"a": 1.0}, ["p"]))
    for x, labels in (({3: 1.0}, ["p"]), ({("a", "b"): 1.0}, ["p"]), ({"a": 1.0}, [3])):
        with pytest.raises(SnapshotError, match="is not a text: records carry texts only"):
            Task(Settings(), 0, [], "lineage").load_arrays(_state(x, labels))
