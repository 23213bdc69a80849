"""Upgrades and downgrades of a group on a broker, by each road, with workers and commands killed on the way.

Workers of this release and of a second one share the group. At the end each instance has one answer, the journal tiles
the input, and restores from different snapshots give the same state.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.cli.app import FAILURE_STATUS
from streamlearn.engine.journal import records as journal
from tests.campaign.answers import unanswered
from tests.faults.workers import Starter, Workers
from tests.integration.reference import OtherReleases, assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import AnyWorker, Service
from tests.integration.test_faults import assert_each_handled_once, produce
from tests.integration.test_standby import read_page
from tests.second_release import build_other_model
from tests.snapshot_faults import snapshots

MORE = [
    "topics.partitions=2",
    "engine.batch_instances=10",
    "kafka.session_timeout_ms=1000",
    "snapshot.interval_seconds=600",
    "http.enabled=true",
    "http.port=0",
]
LIVING = [*MORE, "kafka.session_timeout_ms=3000"]
"""For two workers beside each other, of which neither may lose its session on a slow machine."""
NEXT = MODEL_VERSION + 1
ROWS = 60
"""Instances between two steps of a road."""
UPGRADE = ("upgrade", "--yes")


class Road:
    """What happens to a group, step by step: it counts the instances.

    Parameters
    ----------
    service:
        The group.
    workers:
        Workers of this release.
    next_starter:
        Forks processes of the next model version.
    """

    def __init__(self, service: Service, workers: Workers, next_starter: Starter) -> None:
        self.service = service
        self.workers = workers
        self.count = 0
        self._next_starter = next_starter
        service.make_topics(labels=True, more=MORE)

    @property
    def settings(self) -> list[str]:
        return self.service.settings(labels=True, more=MORE)

    def produce(self) -> None:
        """Send more instances."""
        self.count += produce(self.service, ROWS, seed=self.count, first=self.count)

    def run(self, workers: Workers, *arguments: str, command: Sequence[str] = ("run",)) -> str:
        """Run a worker or a command to its end, which is a success, and return what it has logged."""
        before = len(workers.log())
        assert workers.wait(workers.start(*arguments, *self.settings, command=command)) == 0, workers.log()[-3000:]
        return workers.log()[before:]

    def fail(self, workers: Workers, *arguments: str, command: Sequence[str] = ("run",)) -> str:
        """Run a worker or a command that fails before it joins the group, and return its error."""
        before = len(workers.log())
        status = workers.wait(workers.start(*arguments, *self.settings, command=command))
        log = workers.log()[before:]
        assert status == FAILURE_STATUS, log
        assert "assigned" not in log, "it has joined the group"
        return log.strip().splitlines()[-1]

    def kill(
        self, workers: Workers, point: str, hit: int = 1, command: Sequence[str] = ("run", "--stop-at-end")
    ) -> None:
        """Run a worker or a command that is killed at a point."""
        code = workers.wait(workers.start(*self.settings, command=command, armed=f"{point}:{hit}"))
        assert code == -signal.SIGKILL, f"{command} did not reach the point {point!r}: {code}\n{workers.log()[-3000:]}"

    def answer(self, workers: Workers, *arguments: str) -> str:
        """Send more instances, answer them, and end drained."""
        self.produce()
        return self.run(workers, "--stop-at-end", "--leave", *arguments)

    def crash(self) -> None:
        """Let this release answer some of more instances after its last snapshot, and be killed."""
        self.answer(self.workers)
        self.produce()
        self.kill(self.workers, "committed", 3)

    def mark(self) -> journal.Mark:
        """Return the committed mark."""
        partition = (self.service.topic("instances"), 0)
        return journal.parse_mark(self.service.committed([partition])[partition][1], "instances")

    def journal(self) -> list[journal.JournalRecord]:
        topic = self.service.topic("journal")
        return [journal.decode(entry.value, str(entry.offset)) for entry in self.service.read_topic(topic)]

    def upgrades(self) -> list[journal.UpgradeRecord]:
        return [record for record in self.journal() if isinstance(record, journal.UpgradeRecord)]

    def versions(self) -> list[int]:
        """Return the model versions in the order in which they computed batches without an upgrade's record."""
        changes = (
            record for record in self.journal() if isinstance(record, journal.LineageRecord | journal.ControlRecord)
        )
        return [record.model_version for record in changes if record.model_version is not None]

    def check(self, workers: Workers, upgrades: int = 0) -> None:
        """Check every guarantee; the group has to be drained by a release, of which ``workers`` are."""
        assert_each_handled_once(self.service, self.count)
        others = OtherReleases(
            {NEXT: self._next_starter}, self.settings[1::2], self.service.snapshots.parent / "reference"
        )
        assert_equals_an_uninterrupted_run(self.service, settings_of(self.service, labels=True, more=MORE), others)
        found = self.upgrades()
        assert len(found) == upgrades
        newest = snapshots(self.service.snapshots)[0]
        assert newest.name == f"{self.mark().seq}-{self.mark().chain}.npz"
        # From the snapshot before, from each older one that leads to it, and from the model's beginning.
        origins = []
        while (origin := self._replay_to(workers, newest)) is not None:
            origins.append(origin)
            for before in snapshots(self.service.snapshots):
                if before.name.startswith(f"{origin}-"):
                    before.rename(before.with_suffix(".aside"))
            if origin == 0:
                break
        for path in self.service.snapshots.rglob("*.aside"):
            path.rename(path.with_suffix(".npz"))
        assert origins, "no snapshot leads to the newest one"
        if found:
            assert origins[-1] == found[-1].base.seq

    def _replay_to(self, workers: Workers, snapshot: Path) -> int | None:
        """Return the sequence from which the journal applied again gives the state of a snapshot: that of an earlier
        snapshot, or 0 for the model's beginning; None when nothing leads to it."""
        log = self.run(workers, str(snapshot), "--against-journal", command=("snapshot", "verify"))
        origin = r"sequence (\d+)|the model's beginning"
        proven = re.search(rf"; proven: the journal applied again from (?:{origin}) gives the same state", log)
        return None if proven is None else int(proven[1] or 0)


@pytest.fixture
def road(service: Service, workers: Workers, next_starter: Starter) -> Road:
    return Road(service, workers, next_starter)


def test_a_drained_model_is_migrated_and_goes_back_by_a_rollback(road: Road, next_workers: Workers) -> None:
    service = road.service
    road.produce()
    worker = service.start(labels=True, more=MORE)
    service.wait("answers", lambda: len(service.read("predictions")) > ROWS / 2)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0, service.logs()
    drained = snapshots(service.snapshots)[0]
    assert "continues the model of version" in road.answer(next_workers)
    assert road.versions() == [MODEL_VERSION, NEXT]
    road.check(next_workers)
    # Back: not as it is, but from the snapshot that this release has left.
    before = road.mark()
    road.produce()
    error = road.fail(road.workers)
    assert f"of model version {NEXT}, and this release computes version {MODEL_VERSION}" in error
    assert str(drained) in error
    assert road.mark() == before
    road.run(road.workers, drained.name.partition("-")[0], "--yes", command=("snapshot", "rollback"))
    road.answer(road.workers)
    road.check(road.workers)


DRAIN = ("run", "--drain")
DRAIN_POINTS = [
    "taken over",
    "settled",
    "replaying",
    "restored",
    "snapshot taken",
    "snapshot half written",
    "snapshot before its rename",
    "snapshot after its rename",
]


def drain_and_upgrade(road: Road, next_workers: Workers, points: Sequence[str]) -> None:
    road.crash()
    killed_at = road.mark()
    assert not snapshots(road.service.snapshots)[0].name.startswith(f"{killed_at.seq}-")
    for point in points:
        road.kill(road.workers, point, command=DRAIN)
    road.run(road.workers, command=DRAIN)
    assert road.mark() == killed_at, "draining commits nothing"
    assert snapshots(road.service.snapshots)[0].name == f"{killed_at.seq}-{killed_at.chain}.npz"
    road.answer(next_workers)
    assert road.versions() == [MODEL_VERSION, NEXT]
    road.check(next_workers)


def test_a_killed_model_is_drained_by_its_own_release_and_migrated(road: Road, next_workers: Workers) -> None:
    drain_and_upgrade(road, next_workers, ["snapshot before its rename"])


@pytest.mark.slow
def test_a_drain_is_killed_at_every_point(road: Road, next_workers: Workers) -> None:
    drain_and_upgrade(road, next_workers, DRAIN_POINTS)


BEFORE_COMMIT = [
    "replaying",
    "restored",
    "taken over",
    "settled",
    "transaction begun",
    "outputs sent",
    "outputs flushed",
    "offsets sent",
]
"""Points of an upgrade in its order; at these nothing is committed yet."""
AROUND_COMMIT = ["commit asked for", "commit answered", "committed"]
AFTER_COMMIT = ["snapshot half written", "snapshot before its rename", "snapshot after its rename"]


def test_a_killed_model_is_upgraded_by_the_command(road: Road, next_workers: Workers) -> None:
    upgrade_by_command(road, next_workers, ["outputs flushed"], "commit answered")


@pytest.mark.slow
@pytest.mark.parametrize("last", [*AROUND_COMMIT, *AFTER_COMMIT])
def test_the_command_is_killed_at_every_point(road: Road, next_workers: Workers, last: str) -> None:
    upgrade_by_command(road, next_workers, BEFORE_COMMIT if last == AROUND_COMMIT[0] else [], last)


def upgrade_by_command(road: Road, next_workers: Workers, points: Sequence[str], last: str) -> None:
    road.crash()
    before, base = road.mark(), snapshots(road.service.snapshots)[0]
    assert "`streamlearn upgrade` learns these rows again" in road.fail(next_workers, "--stop-at-end")
    log = road.run(next_workers, command=("upgrade",))
    rows = re.search(r"([\d,]+) rows were applied since", log)
    assert rows is not None
    assert log.endswith("nothing was changed; --yes upgrades\n")
    for point in points:
        road.kill(next_workers, point, command=UPGRADE)
        assert not road.upgrades(), f"it was upgraded although it was killed at {point!r}"
    assert road.mark() == before, "nothing was changed"
    road.kill(next_workers, last, command=UPGRADE)
    is_committed = road.mark() != before
    log = road.run(next_workers, command=UPGRADE)
    assert ("no model needs an upgrade" in log) == is_committed
    (record,) = road.upgrades()
    assert (record.before, record.seq, record.rows) == (before.chain, before.seq + 1, int(rows[1].replace(",", "")))
    assert base.name == f"{record.base.seq}-{record.base.chain}.npz"
    road.answer(next_workers)
    road.check(next_workers, upgrades=1)


def start_rolling(road: Road, next_starter: Starter, armed: str = "") -> tuple[AnyWorker, AnyWorker]:
    """Start a worker of this release that is active, and one of the next release beside it; return them in the middle
    of answering."""
    service = road.service
    road.produce()
    active = service.start(worker="w0", labels=True, more=LIVING)
    service.wait("the first to be active", lambda: read_page(service, "w0", "/readyz") == "active")
    standby = service.start(worker="w1", labels=True, more=LIVING, starter=next_starter, armed=armed)
    service.wait("the other to wait", lambda: "waits for an upgrade" in read_page(service, "w1", "/readyz"))
    assert read_page(service, "w1", "/readyz").startswith(
        "stand-by, cold: waits for an upgrade: the model is of model "
    )
    assert read_page(service, "w1", "/healthz")
    answered = service.follow("predictions")
    goal = answered.count() + 10
    road.produce()
    service.wait("answers", lambda: answered.count() >= goal)
    return active, standby


def finish_rolling(road: Road, standby: AnyWorker, next_workers: Workers, upgrades: int) -> None:
    """Wait until the worker of the next release has taken over and answered all, and check every guarantee."""
    service = road.service
    service.wait("the takeover", lambda: read_page(service, "w1", "/readyz") == "active")
    road.produce()
    service.wait("every instance", lambda: unanswered(service) == 0)
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(60) == 0, service.logs()
    road.check(next_workers, upgrades)


def test_a_standby_of_the_next_release_takes_over_from_one_that_drains(
    road: Road, next_workers: Workers, next_starter: Starter
) -> None:
    active, standby = start_rolling(road, next_starter)
    active.send_signal(signal.SIGTERM)
    assert active.wait(60) == 0, road.service.logs()
    finish_rolling(road, standby, next_workers, upgrades=0)
    assert road.versions() == [MODEL_VERSION, NEXT]


def test_a_standby_of_the_next_release_takes_over_from_one_that_is_killed(
    road: Road, next_workers: Workers, next_starter: Starter
) -> None:
    active, standby = start_rolling(road, next_starter)
    active.kill()
    finish_rolling(road, standby, next_workers, upgrades=1)


def test_a_start_right_after_two_workers_were_killed_is_refused_and_loses_no_road(
    road: Road, next_workers: Workers
) -> None:
    service = road.service
    road.produce()
    killed = [service.start(worker="w0", labels=True, more=LIVING)]
    service.wait("the first to be active", lambda: read_page(service, "w0", "/readyz") == "active")
    killed.append(service.start(worker="w1", labels=True, more=LIVING))
    service.wait("the other to stand by", lambda: read_page(service, "w1", "/readyz").startswith("stand-by, warm"))
    service.wait("every instance", lambda: unanswered(service) == 0)
    for worker in killed:
        worker.kill()
        worker.wait()
    before = road.mark()
    # The other worker is a member of the group until its session is over.
    settings = service.settings(labels=True, more=LIVING)
    logged = len(next_workers.log())
    assert next_workers.wait(next_workers.start("--stop-at-end", *settings)) == FAILURE_STATUS, next_workers.log()
    log = next_workers.log()[logged:]
    assert "in case these workers were killed: w0 on" in log
    assert "`streamlearn upgrade` learns these rows again" in log.splitlines()[-1]
    assert road.mark() == before
    assert not road.upgrades()
    road.run(road.workers, command=DRAIN)
    road.answer(next_workers)
    road.check(next_workers)


TAKEOVER_POINTS = [
    *BEFORE_COMMIT,
    *AROUND_COMMIT,
    "snapshot taken",
    *AFTER_COMMIT,
    "polled",
    "applied",
]


@pytest.mark.slow
@pytest.mark.parametrize("point", TAKEOVER_POINTS)
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["drained", "killed"])
def test_a_standby_is_killed_at_every_point_of_its_takeover(
    road: Road, next_workers: Workers, next_starter: Starter, point: str, end: signal.Signals
) -> None:
    if end == signal.SIGTERM and point in ("replaying", "snapshot taken", *AFTER_COMMIT):
        pytest.skip("a drained model needs neither")
    active, standby = start_rolling(road, next_starter, f"{point}:1")
    active.send_signal(end)
    active.wait(60)
    road.produce()
    assert standby.wait(60) == -signal.SIGKILL, f"the point {point!r} was not reached\n{road.service.logs()}"
    assert len(road.upgrades()) <= (end == signal.SIGKILL)
    if end == signal.SIGKILL:
        road.run(next_workers, command=UPGRADE)
    standby = road.service.start(worker="w1", labels=True, more=LIVING, starter=next_starter)
    finish_rolling(road, standby, next_workers, upgrades=int(end == signal.SIGKILL))


def test_another_release_of_the_same_model_version_takes_over_warm_and_hands_back(
    road: Road, same_starter: Starter
) -> None:
    service = road.service
    road.produce()
    active = service.start(worker="w0", labels=True, more=LIVING)
    service.wait("the first to be active", lambda: read_page(service, "w0", "/readyz") == "active")
    standby = service.start(worker="w1", labels=True, more=LIVING, starter=same_starter)
    service.wait("the other to follow", lambda: "stand-by, warm" in read_page(service, "w1", "/readyz"))
    active.kill()
    service.wait("the takeover", lambda: read_page(service, "w1", "/readyz") == "active")
    assert "taken over warm" in service.log_of("w1")
    road.produce()
    service.wait("every instance", lambda: unanswered(service) == 0)
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(60) == 0, service.logs()
    road.answer(road.workers)
    road.check(road.workers)


def test_a_model_two_versions_back_is_refused_before_the_group_is_joined(road: Road, tmp_path: Path) -> None:
    road.answer(road.workers)
    before = road.mark()
    release = build_other_model(tmp_path / "two-versions-on", MODEL_VERSION + 2)
    for command in (["run"], ["upgrade", "--yes"]):
        done = subprocess.run(
            [sys.executable, "-m", "streamlearn", *command, *road.settings],
            cwd=release.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == FAILURE_STATUS, done.stderr
        assert f"this release reads version {NEXT}" in done.stderr
        assert "assigned" not in done.stderr
    assert road.mark() == before
    road.answer(road.workers)
