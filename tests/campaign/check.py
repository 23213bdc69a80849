"""What must hold when a campaign is over, found out by readers that know nothing of the workers."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any, NamedTuple

from tests.campaign.world import World
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of

RESIDENT_BYTES = 1 << 30
"""What a worker may hold in memory, several times what it takes."""


class Proof(NamedTuple):
    """What was found: ``dead_letters`` by reason, ``longest_gap_seconds`` between two answers in a row."""

    instances: int
    answered: int
    dead_letters: dict[str, int]
    longest_gap_seconds: float
    snapshots_good: int


def prove(world: World) -> Proof:
    """Hold every promise to what lies in the topics.

    Raises
    ------
    AssertionError
        When one is broken; it says which, and where.
    """
    service = world.service
    answers = service.read("predictions")
    dead = service.read("dead_letters")
    given = [(record.partition, record.offset) for record in service.read("instances")]
    answered = [_source(record) for record in answers]
    refused = [_place(record) for record in dead if _header(record, "topic") == service.topic("instances")]
    twice = [place for place, count in Counter([*answered, *refused]).items() if count > 1]
    missing = set(given) - {*answered, *refused}
    invented = {*answered, *refused} - set(given)
    assert not twice, f"answered twice: {sorted(twice)[:10]} and {max(0, len(twice) - 10)} more"
    assert not missing, f"never answered: {sorted(missing)[:10]} and {max(0, len(missing) - 10)} more"
    assert not invented, f"answered, but in no committed record: {sorted(invented)[:10]}"
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=world.more))
    assert world.resident_bytes < RESIDENT_BYTES, f"a worker held {world.resident_bytes:,} bytes"
    verified = service.command("snapshot", "verify", *world.settings(world.places[0].name), timeout=600)
    moments = sorted(record.timestamp for record in answers)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    return Proof(
        len(given),
        len(answers),
        dict(Counter(_header(record, "reason") for record in dead)),
        max(gaps, default=0) / 1000,
        verified.stdout.count("ok "),
    )


def _source(record: Any) -> tuple[int, int]:
    source = json.loads(record.value)["source"]
    return source["partition"], source["offset"]


def _place(record: Any) -> tuple[int, int]:
    return int(_header(record, "partition")), int(_header(record, "offset"))


def _header(record: Any, name: str) -> str:
    return dict(record.headers)[f"streamlearn.{name}"].decode()
