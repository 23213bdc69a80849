"""Events describe the changes of a model, and are valid records."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_args

import pytest

from streamlearn.engine.tasks.event_records import event_record
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.model.model_event import ModelEvent
from streamlearn.model.stream_model import StreamModel
from streamlearn.records.event import Event
from streamlearn.settings.settings import Settings

NAMES = [f"l{label:02}" for label in range(32)]
PAIRS = 16


@pytest.fixture(scope="module")
def events() -> list[ModelEvent]:
    """The events of a stream whose labels come in pairs, in other pairs from row 1,500 on."""
    settings = Settings.model_validate({"features": {"maximum": 64}, "labels": {"maximum": 64}})
    model = StreamModel(settings, labels=NAMES)
    generator = random.Random(4)
    found: list[ModelEvent] = []
    batch = model.new_batch()
    for row in range(4_000):
        chosen = [label for label in range(PAIRS) if generator.random() < 0.12]
        partner = (lambda label: 31 - label) if row < 1_500 else (lambda label: 16 + (label + 5) % 16)
        batch.predict_and_learn(
            {f"f{label}": 1.0 for label in chosen},
            [NAMES[label] for label in chosen] + [NAMES[partner(label)] for label in chosen],
        )
        if row % 500 == 499:
            found += model.apply(batch).events
            batch = model.new_batch()
    return found


def test_every_event_is_a_record(events: list[ModelEvent]) -> None:
    assert {event.kind for event in events} >= {"drift", "partition"}
    for event in events:
        record = Event.model_validate(event_record(event, 5))
        assert (record.at.row, record.at.now_ns) == (event.row, 5)
        assert record.since_row <= record.at.row


def test_a_change_of_the_partition_has_the_code_length_per_row_before_and_after(events: list[ModelEvent]) -> None:
    """In nats per row: 16 pairs with probability 0.12 cost at least 16 H(0.12) = 5.9."""
    switches = [event for event in events if event.kind == "partition"]
    assert any(event.row > 1_500 for event in switches)
    for event in switches:
        assert (event.signal, event.direction, event.action, event.scope) == (
            "code_length",
            "better",
            "rebuild",
            "model",
        )
        assert 5.0 < event.after < event.before < 32.0
        assert event.n == event.row - event.since_row + 1


def test_a_drift_alarm_compares_losses(events: list[ModelEvent]) -> None:
    for event in events:
        if event.kind == "drift":
            assert event.signal == "loss"
            assert event.direction == ("worse" if event.after > event.before else "better")
            assert event.action in (("none", "retest") if event.direction == "worse" else ("none",))
            assert event.name in NAMES or event.name.split(" ")[0] in NAMES
    assert any(event.direction == "worse" and 1_500 <= event.row < 1_800 for event in events)
    assert any(event.action == "retest" and 1_500 <= event.row < 1_800 for event in events)


def test_the_documentation_lists_every_signal_and_action() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations" / "monitor.md").read_text(encoding="utf-8")
    table = text[text.index("| kind | scope | signal |") :].partition("\n\n")[0]
    for field in ("signal", "action"):
        for value in get_args(Event.model_fields[field].annotation):
            assert f"`{value}`" in table


def test_an_event_of_label_sets_counts_complete_rows(events: list[ModelEvent]) -> None:
    (ready,) = [event for event in events if event.signal == "label_sets"]
    assert ready.kind == "label"
    assert (ready.scope, ready.signal, ready.direction, ready.action) == ("model", "label_sets", "better", "none")
    assert ready.before < LEAST_ROWS <= ready.after <= ready.n == ready.row + 1
    assert ready.since_row == ready.row
