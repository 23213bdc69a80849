"""One model per partition: workers join and leave, and each instance is answered once."""

from __future__ import annotations

import signal

from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, produce


def test_two_workers_share_the_partitions_one_leaves_and_one_joins(service: Service) -> None:
    more = ["topics.partitions=4", "engine.scope=partition", "engine.batch_instances=25"]
    service.make_topics(labels=True, more=more)
    answered = service.follow("predictions")
    halves = [[0, 1], [2, 3]]

    def shared_by(*workers: str) -> bool:
        """Return whether these workers are the group, and each holds its share of the partitions."""
        held = service.assigned()
        shares = [[0, 1, 2, 3]] if len(workers) == 1 else halves
        return sorted(held) == sorted(workers) and sorted(held.values()) == shares

    first = service.start("--leave", worker="w0", labels=True, more=more)
    service.wait("one to hold all", lambda: shared_by("w0"))
    second = service.start(worker="w1", labels=True, more=more)
    service.wait("two to share", lambda: shared_by("w0", "w1"))
    count = produce(service, 2_000, seed=31)
    service.wait("answers of both", lambda: answered.count() >= 400)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 0, service.logs()
    service.wait("the other to hold all", lambda: shared_by("w1"))
    third = service.start(worker="w2", labels=True, more=more)
    count += produce(service, 1_000, seed=32)
    service.wait("two to share again", lambda: shared_by("w1", "w2"))
    count += produce(service, 1_000, seed=33)
    poison = service.follow("dead_letters")

    def all_handled() -> bool:
        # Dead letters of labels are counted too, so this alone does not prove it.
        if answered.count() + poison.count() < count:
            return False
        bad = [record for record in service.read("dead_letters") if record.value == b"{"]
        return answered.count() + len(bad) >= count

    service.wait("every instance", all_handled)
    for process in (second, third):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, service.logs()
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=more))
