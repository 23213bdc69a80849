# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportIncompatibleMethodOverride=false
# The stubs that come with the type checker describe an older client than the one installed.
"""An assignor that gives every partition to one member: the active worker of scope ``topic``.

The member that holds them keeps them: moving a model costs a restore. Each member says, when it joins, in which
generation of the group it was last given partitions; the latest has them still. When none has, as at the beginning or
after the active worker left, the first by name is chosen, static members before others.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)


class OneMemberAssignor(AbstractPartitionAssignor):
    """Gives all partitions to the member that holds them, or to the first by name; one for each consumer."""

    name = "streamlearn-one-member"  # pyright: ignore[reportAssignmentType]
    version = 0

    def __init__(self) -> None:
        self._held_in: int | None = None

    def assign(self, cluster: Any, members: Any) -> dict[str, ConsumerProtocolAssignment]:
        """Return every member's partitions: all for one, none for the others."""
        owner = min(
            members,
            key=lambda member: (
                -_generation(member.metadata.user_data),
                member.group_instance_id is None,
                member.group_instance_id or member.member_id,
            ),
        ).member_id
        topics = sorted({topic for member in members for topic in member.metadata.topics})
        everything = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics]
        return {
            member.member_id: ConsumerProtocolAssignment(
                self.version, everything if member.member_id == owner else [], b""
            )
            for member in members
        }

    def metadata(self, topics: Any) -> ConsumerProtocolSubscription:
        """Return what a member says when it joins."""
        held = b"" if self._held_in is None else str(self._held_in).encode()
        return ConsumerProtocolSubscription(self.version, sorted(topics), held)

    def on_assignment(self, assignment: Any, generation: int) -> None:
        """Remember whether this member was given the partitions, and when."""
        self._held_in = generation if assignment.partitions() else None


def _generation(user_data: bytes | None) -> int:
    """Return the generation in which a member was last given partitions; -1 when it has none, or does not say."""
    return int(user_data) if user_data and user_data.isdigit() else -1
