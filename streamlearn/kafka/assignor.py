"""Partition assignors of the workers; each member sends `MemberData` when it joins.

`OneMemberAssignor` gives every partition to one member: the active worker of scope ``topic``. The member that holds the
partitions keeps them, because moving a model costs a restore. When it joins, each member sends the generation of the
group in which it was last given partitions; the member with the latest one still holds them. When no member has one, as
at the beginning or after the active worker left, the first by name is chosen, static members before others.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolAssignment,  # pyright: ignore[reportAttributeAccessIssue]
    ConsumerProtocolSubscription,  # pyright: ignore[reportAttributeAccessIssue]
)
from kafka.coordinator.assignors.range import RangePartitionAssignor

from streamlearn.kafka.member_data import NO_GENERATION, MemberData


class OneMemberAssignor(AbstractPartitionAssignor):
    """Assigns all partitions to the member that holds them, or to the first by name; one instance per consumer."""

    name = "streamlearn-one-member"  # pyright: ignore[reportAssignmentType,reportIncompatibleMethodOverride]
    version = 0

    def __init__(self, host: str = "") -> None:
        self._data = MemberData(host)

    def assign(self, cluster: Any, members: Any) -> dict[str, ConsumerProtocolAssignment]:
        """Return every member's partitions: all for one, none for the others."""
        owner = min(
            members,
            key=lambda member: (
                -MemberData.decode(member.metadata.user_data).generation,
                member.group_instance_id is None,
                member.group_instance_id or member.member_id,
            ),
        ).member_id
        topics = sorted({topic for member in members for topic in member.metadata.topics})
        partitions = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics]
        return {
            member.member_id: ConsumerProtocolAssignment(
                self.version, partitions if member.member_id == owner else [], b""
            )
            for member in members
        }

    def metadata(self, topics: Any) -> ConsumerProtocolSubscription:
        """Return the subscription that a member sends when it joins."""
        return ConsumerProtocolSubscription(self.version, sorted(topics), self._data.encode())

    def on_assignment(self, assignment: Any, generation: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Remember the generation in which this member was given the partitions; forget it when it was given none."""
        self._data = MemberData(self._data.host, generation if assignment.partitions() else NO_GENERATION)


class RangeAssignor(RangePartitionAssignor):
    """Gives each member a range of the partitions of every topic: the workers of scope ``partition``."""

    def __init__(self, host: str = "") -> None:
        self._data = MemberData(host)

    def metadata(self, topics: Any) -> ConsumerProtocolSubscription:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the subscription that a member sends when it joins."""
        return ConsumerProtocolSubscription(self.version, sorted(topics), self._data.encode())
