"""Partition assignor that gives every partition to one member: the active worker of scope ``topic``.

The member that holds the partitions keeps them, because moving a model costs a restore. When it joins, each member
sends as user data the generation of the group in which it was last given partitions; the member with the latest one
still holds them. When no member has one, as at the beginning or after the active worker left, the first by name is
chosen, static members before others.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolAssignment,  # pyright: ignore[reportAttributeAccessIssue]
    ConsumerProtocolSubscription,  # pyright: ignore[reportAttributeAccessIssue]
)


class OneMemberAssignor(AbstractPartitionAssignor):
    """Assigns all partitions to the member that holds them, or to the first by name; one instance per consumer."""

    name = "streamlearn-one-member"  # pyright: ignore[reportAssignmentType,reportIncompatibleMethodOverride]
    version = 0

    def __init__(self) -> None:
        self._owner_generation: int | None = None

    def assign(self, cluster: Any, members: Any) -> dict[str, ConsumerProtocolAssignment]:
        """Return every member's partitions: all for one, none for the others."""
        owner = min(
            members,
            key=lambda member: (
                -_parse_generation(member.metadata.user_data),
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
        """Return the subscription that a member sends when it joins, with its generation as user data."""
        user_data = b"" if self._owner_generation is None else str(self._owner_generation).encode()
        return ConsumerProtocolSubscription(self.version, sorted(topics), user_data)

    def on_assignment(self, assignment: Any, generation: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Remember the generation in which this member was given the partitions; forget it when it was given none."""
        self._owner_generation = generation if assignment.partitions() else None


def _parse_generation(user_data: bytes | None) -> int:
    """Return the generation in which a member was last given partitions; -1 when it sends none."""
    return int(user_data) if user_data and user_data.isdigit() else -1
