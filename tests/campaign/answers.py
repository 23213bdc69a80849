"""Checks that every committed instance has exactly one answer, or exactly one dead letter."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

from tests.integration.service import Service


class AnswerCounts(NamedTuple):
    """Numbers of committed instances and of answers, dead letters by reason, and when each answer was written (ms)."""

    instances: int
    answered: int
    dead_letters: dict[str, int]
    timestamps: list[int]


def check_answers(service: Service) -> AnswerCounts:
    """Compare the answers and dead letters with the instances.

    Raises
    ------
    AssertionError
        When a record was answered twice or never, or an answer belongs to no committed record.
    """
    answers = service.read("predictions")
    dead = service.read("dead_letters")
    sent = [(record.partition, record.offset) for record in service.read("instances")]
    answered = [_source_of_answer(record) for record in answers]
    refused = [
        _source_of_dead_letter(record) for record in dead if _header(record, "topic") == service.topic("instances")
    ]
    twice = [source for source, count in Counter([*answered, *refused]).items() if count > 1]
    missing = set(sent) - {*answered, *refused}
    invented = {*answered, *refused} - set(sent)
    assert not twice, f"{len(twice)} records answered twice, first: {sorted(twice)[:10]}"
    assert not missing, f"{len(missing)} records never answered, first: {sorted(missing)[:10]}"
    assert not invented, f"answers to records that were never committed: {sorted(invented)[:10]}"
    reasons = Counter(_header(record, "reason") for record in dead)
    return AnswerCounts(len(sent), len(answers), dict(reasons), sorted(record.timestamp for record in answers))


def unanswered(service: Service) -> int:
    """Return how many committed instances have neither an answer nor a dead letter yet."""
    answered = {_source_of_answer(record) for record in service.read("predictions")}
    answered |= {
        _source_of_dead_letter(record)
        for record in service.read("dead_letters")
        if _header(record, "topic") == service.topic("instances")
    }
    return len({(record.partition, record.offset) for record in service.read("instances")} - answered)


def _source_of_answer(record: Any) -> tuple[int, int]:
    source = json.loads(record.value)["source"]
    return source["partition"], source["offset"]


def _source_of_dead_letter(record: Any) -> tuple[int, int]:
    return int(_header(record, "partition")), int(_header(record, "offset"))


def _header(record: Any, name: str) -> str:
    return dict(record.headers)[f"streamlearn.{name}"].decode()
