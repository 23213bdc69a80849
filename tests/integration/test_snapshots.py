"""Invalid snapshots on a broker are refused with a reason, and the answers equal those of one uninterrupted run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once
from tests.snapshot_faults import alter_weights, copy_renamed, damage, snapshots


def _alter(newest: Path) -> Path:
    """Leave only a snapshot that is followed by batches, and alter its weights."""
    _, older, *rest = snapshots(newest.parent)
    for path in (newest, *rest):
        path.unlink()
    alter_weights(older)
    return older


def _damage(newest: Path) -> Path:
    damage(newest)
    return newest


def _rename_foreign(newest: Path) -> Path:
    seq = int(newest.name.split("-")[0]) - 1
    return _keep_only(newest, copy_renamed(newest, seq=seq, chain="f" * 24))


def _rename_chain(newest: Path) -> Path:
    return _keep_only(newest, copy_renamed(newest, chain="f" * 24))


def _rename_future(newest: Path) -> Path:
    return _keep_only(newest, copy_renamed(newest, seq=10_000))


def _keep_only(newest: Path, other: Path) -> Path:
    kept = other.read_bytes()
    shutil.rmtree(newest.parent)
    newest.parent.mkdir()
    other.write_bytes(kept)
    return other


FAULTS: list[tuple[Callable[[Path], Path], str]] = [
    (_alter, "the state was altered, or this machine computes other bits"),
    (_damage, "is damaged or truncated"),
    (_rename_foreign, "it belongs to another model"),
    (_rename_chain, "has the chain ffffffffffffffffffffffff, committed is"),
    (_rename_future, "is of sequence 10000, beyond the committed"),
]


def test_snapshots_that_do_not_belong_are_refused_by_name(service: Service, workers: Workers) -> None:
    more = ["engine.batch_instances=50", "snapshot.interval_seconds=600"]
    service.make_topics(more=more)
    count = 0

    def run() -> str:
        """Run a worker that applies more instances; return its log."""
        nonlocal count
        before = len(workers.log())
        rows = range(count, count + 150)
        service.produce_raw("instances", [b'{"x":{"f":%d,"g":%d},"y":["l%d"]}' % (r % 7, r % 4, r % 3) for r in rows])
        count += len(rows)
        process = workers.start("--stop-at-end", "--leave", *service.settings(more=more))
        assert workers.wait(process) == 0, workers.log()
        return workers.log()[before:]

    run()
    run()
    for fault, reason in FAULTS:
        refused = fault(snapshots(service.snapshots)[0])
        (line, *_) = [line for line in run().splitlines() if "snapshot refused" in line]
        assert str(refused) in line
        assert reason in line
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=more))
