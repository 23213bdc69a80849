"""Checks the guarantees after a campaign, with consumers outside of the workers' group."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any, NamedTuple

from tests.campaign.world import World
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of

MAXIMUM_RESIDENT_BYTES = 1 << 30
"""Several times the memory that a worker needs here."""


class CheckResult(NamedTuple):
    """Counts after a campaign: ``dead_letters`` by reason; ``longest_gap_seconds`` between two consecutive answers."""

    instances: int
    answered: int
    dead_letters: dict[str, int]
    longest_gap_seconds: float
    snapshots_good: int


def check(world: World) -> CheckResult:
    """Check every guarantee against the records of the topics.

    Raises
    ------
    AssertionError
        When a guarantee is violated; the message says which, and by which records.
    """
    service = world.service
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
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=world.more))
    assert world.resident_bytes < MAXIMUM_RESIDENT_BYTES, f"a worker had {world.resident_bytes:,} resident bytes"
    verified = service.command("snapshot", "verify", *world.settings(world.workers[0].name), timeout=600)
    timestamps = sorted(record.timestamp for record in answers)
    gaps = [after - before for before, after in itertools.pairwise(timestamps)]
    return CheckResult(
        len(sent),
        len(answers),
        dict(Counter(_header(record, "reason") for record in dead)),
        max(gaps, default=0) / 1000,
        verified.stdout.count("ok "),
    )


def _source_of_answer(record: Any) -> tuple[int, int]:
    source = json.loads(record.value)["source"]
    return source["partition"], source["offset"]


def _source_of_dead_letter(record: Any) -> tuple[int, int]:
    return int(_header(record, "partition")), int(_header(record, "offset"))


def _header(record: Any, name: str) -> str:
    return dict(record.headers)[f"streamlearn.{name}"].decode()
