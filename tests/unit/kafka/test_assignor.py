"""The assignor chooses the active worker of scope ``topic``."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamlearn.kafka.assignor import OneMemberAssignor, RangeAssignor
from streamlearn.kafka.member_data import MemberData


class _Cluster:
    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1, 2}


class _Member(NamedTuple):
    member_id: str
    group_instance_id: str | None
    metadata: Any


class _Group:
    """Members that join a group, and get what the assignor gives them."""

    def __init__(self) -> None:
        self.assignors: dict[str, OneMemberAssignor] = {}
        self.generation = 0

    def join(self, *names: str) -> str:
        """Rebalance among these members; return the one that holds everything."""
        self.generation += 1
        for name in names:
            self.assignors.setdefault(name, OneMemberAssignor())
        members = [_Member(f"id-{n}", n, self.assignors[n].metadata({"instances", "labels"})) for n in names]
        given = self.assignors[names[-1]].assign(_Cluster(), members)
        for name in names:
            self.assignors[name].on_assignment(given[f"id-{name}"], self.generation)
        (owner,) = [name for name in names if given[f"id-{name}"].partitions()]
        assert len(given[f"id-{owner}"].partitions()) == 6
        return owner


def test_at_the_beginning_the_first_by_name_is_chosen() -> None:
    assert _Group().join("w2", "w0", "w1") == "w0"


def test_the_member_that_holds_the_partitions_keeps_them() -> None:
    group = _Group()
    assert group.join("w1") == "w1"
    assert group.join("w1", "w0") == "w1"
    assert group.join("w0", "w1", "w2") == "w1"


def test_a_member_that_joins_again_does_not_take_over() -> None:
    group = _Group()
    assert group.join("w0", "w1") == "w0"
    assert group.join("w1") == "w1"
    assert group.join("w0", "w1") == "w1", "a member that was only frozen has an older generation"
    del group.assignors["w0"]
    assert group.join("w0", "w1") == "w1", "a member that was restarted has none"


def test_user_data_of_another_program_is_ignored() -> None:
    group = _Group()
    group.join("w1")
    foreign = _Member("id-w0", "w0", group.assignors["w1"].metadata({"instances"}))
    foreign.metadata.user_data = b"from another program"
    holder = _Member("id-w1", "w1", group.assignors["w1"].metadata({"instances"}))
    given = group.assignors["w1"].assign(_Cluster(), [foreign, holder])
    assert [member for member, share in given.items() if share.partitions()] == ["id-w1"]


def test_a_member_of_an_earlier_release_keeps_its_partitions() -> None:
    """It sends the digits of its generation only."""
    new, old = OneMemberAssignor("node-a"), OneMemberAssignor("node-b")
    subscription = old.metadata({"instances"})
    subscription.user_data = b"7"
    members = [_Member("id-w0", "w0", new.metadata({"instances"})), _Member("id-w1", "w1", subscription)]
    given = new.assign(_Cluster(), members)
    assert {name: len(assignment.partitions()) for name, assignment in given.items()} == {"id-w0": 0, "id-w1": 3}


def test_members_that_share_the_partitions_announce_their_machine_too() -> None:
    assignors = {name: RangeAssignor(f"node-{name}") for name in ("w0", "w1")}
    members = [_Member(f"id-{n}", n, a.metadata({"labels", "instances"})) for n, a in assignors.items()]
    assert [MemberData.decode(member.metadata.user_data).host for member in members] == ["node-w0", "node-w1"]
    given = assignors["w1"].assign(_Cluster(), members)
    assert {name: len(assignment.partitions()) for name, assignment in given.items()} == {"id-w0": 4, "id-w1": 2}
