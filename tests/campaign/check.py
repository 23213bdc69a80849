"""Checks the guarantees after a campaign, with consumers outside of the workers' group."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from tests.campaign.answers import check_answers
from tests.campaign.world import World
from tests.integration.reference import OtherReleases, assert_equals_an_uninterrupted_run, settings_of

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
    counts = check_answers(service)
    others = OtherReleases(
        world.releases.by_model_version(),
        service.settings(labels=True, more=world.more)[1::2],
        service.snapshots.parent / "reference",
    )
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=world.more), others)
    assert world.resident_bytes < MAXIMUM_RESIDENT_BYTES, f"a worker had {world.resident_bytes:,} resident bytes"
    for path in service.snapshots.rglob("*.npz"):
        if path.name in world.corrupted:
            path.unlink()
    verified = service.command("snapshot", "verify", *world.settings(world.workers[0].name), timeout=600)
    gaps = [after - before for before, after in itertools.pairwise(counts.timestamps)]
    return CheckResult(
        counts.instances,
        counts.answered,
        counts.dead_letters,
        max(gaps, default=0) / 1000,
        verified.stdout.count("ok "),
    )
