# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportIncompatibleMethodOverride=false
# The stubs that come with the type checker describe an older client than the one installed.
"""An assignor that gives every partition to one member: the active worker of scope ``topic``.

Static members come first, by the name that stays the same over restarts, so the same worker is active again when it
returns under its name.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)


class OneMemberAssignor(AbstractPartitionAssignor):
    """Gives all partitions to the first member by name."""

    name = "streamlearn-one-member"  # pyright: ignore[reportAssignmentType]
    version = 0

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> dict[str, ConsumerProtocolAssignment]:
        """Return every member's partitions: all for the first, none for the others."""
        ordered = sorted(
            members, key=lambda member: (member.group_instance_id is None, member.group_instance_id or member.member_id)
        )
        owner = ordered[0].member_id
        topics = sorted({topic for member in members for topic in member.metadata.topics})
        everything = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics]
        return {
            member.member_id: ConsumerProtocolAssignment(
                cls.version, everything if member.member_id == owner else [], b""
            )
            for member in members
        }

    @classmethod
    def metadata(cls, topics: Any) -> ConsumerProtocolSubscription:
        """Return what a member says when it joins."""
        return ConsumerProtocolSubscription(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: Any, generation: int) -> None:
        """Nothing is remembered from one assignment to the next."""
