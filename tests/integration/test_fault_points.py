"""A worker is killed at every point of the loop, one after the other; the outputs equal one uninterrupted run."""

from __future__ import annotations

import signal

from tests.faults.points import POINTS
from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, produce

MORE = ["topics.partitions=2", "engine.batch_instances=10"]
HITS = {"taken over": 1, "settled": 1, "restored": 1, "replaying": 2, "snapshot half written": 5}
"""At which pass of a point the worker is killed; by default at the fourth, so in mid-stream."""


def test_killed_at_every_point_of_the_loop_each_instance_is_answered_once(service: Service, workers: Workers) -> None:
    service.make_topics(labels=True, more=MORE)
    count = produce(service, 500, seed=41)
    answered = service.follow("predictions")
    arguments = ("--stop-at-end", *service.settings(labels=True, more=MORE))
    for point in POINTS:
        # Workers after the one without snapshots have something to replay.
        seconds = 600 if point == "committed" else 0.05
        armed = f"{point}:{HITS.get(point, 4)}"
        code = workers.wait(workers.start(*arguments, "--set", f"snapshot.interval_seconds={seconds}", armed=armed))
        assert code == -signal.SIGKILL, f"the worker did not reach the point {point!r}: {code}\n{workers.log()[-3000:]}"
        assert answered.count() < 0.9 * count, f"{point!r} did not happen in mid-stream"
    assert workers.wait(workers.start(*arguments)) == 0, workers.log()[-3000:]
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))
