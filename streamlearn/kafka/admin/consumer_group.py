"""The consumer group as its coordinator describes it: protocol, state and members."""

from __future__ import annotations

import struct
from typing import NamedTuple

from kafka import errors as kafka_errors
from kafka.protocol.admin import DescribeGroupsRequest, ListGroupsRequest
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.admin.broker_connection import BrokerConnection
from streamlearn.kafka.admin.coordinator import GROUP, ask_coordinator
from streamlearn.kafka.member_data import MemberData
from streamlearn.settings.settings import Settings

_CLASSIC = "classic"
_WITHOUT_MEMBERS = ("", "Empty", "Dead")
# Error codes of the Kafka protocol.
_GROUP_AUTHORIZATION_FAILED, _GROUP_NOT_FOUND = 30, 69


class GroupMember(NamedTuple):
    """A member.

    Attributes
    ----------
    instance:
        Its ``group.instance.id``; empty for a dynamic member.
    client, address:
        The client id and the address. Under a ``group.instance.id``, those of the member that first joined.
    host:
        The machine, as a worker announces it; empty where it is not known, as during a rebalance.
    holds_partitions:
        Whether partitions are assigned to it; false during a rebalance.
    """

    member_id: str
    instance: str
    client: str
    address: str
    host: str
    holds_partitions: bool

    def __str__(self) -> str:
        return f"{self.instance or self.client} on {self.host or self.address}"


class ConsumerGroup(NamedTuple):
    """A group.

    Attributes
    ----------
    kind:
        ``classic``, or another type of group that the brokers know, such as ``consumer`` (KIP-848) or ``share``.
    has_members:
        Whether it has members.
    members:
        Those members that the brokers describe to this client: the members of a classic group.
    """

    kind: str
    has_members: bool
    members: tuple[GroupMember, ...]

    @property
    def is_classic(self) -> bool:
        """Whether the members join by the protocol that the workers use."""
        return self.kind == _CLASSIC

    def describe_members(self) -> list[str]:
        """Return the members' names and hosts; one text for all where the brokers do not name them."""
        if self.has_members and not self.members:
            return [f"members of a {self.kind} group, which joined by another protocol (group.protocol)"]
        return sorted(map(str, self.members))

    def describe_holders(self) -> list[str]:
        """Return the names and hosts of the members that hold partitions."""
        return sorted(str(member) for member in self.members if member.holds_partitions)


def describe_group(settings: Settings) -> ConsumerGroup:
    """Return the group of the settings; a group that does not exist is a classic one without members.

    The type and the state come from the list of groups: asked to describe a group of another type, a broker answers
    that it is dead and has no members.

    Raises
    ------
    UsageError
        When this user may not describe the group, or as `ask_coordinator`.
    RetryableError
        When the brokers do not answer.
    """
    name = settings.kafka.group_id
    code, group = ask_coordinator(settings, name, GROUP, _ask)
    if code == _GROUP_AUTHORIZATION_FAILED:
        raise UsageError(f"group {name} (kafka.group_id) may not be described: grant this user READ on it")
    if code or group is None:
        raise RetryableError(
            f"the members of group {name} are not known ({kafka_errors.for_code(code).__name__}): try again"
        )
    return group


def _ask(connection: BrokerConnection, name: str) -> tuple[int, ConsumerGroup | None]:
    listed = connection.send(ListGroupsRequest(version=connection.version_of(ListGroupsRequest)))
    if listed.error_code:
        return listed.error_code, None
    for entry in listed.groups:
        # Brokers that report no type know classic groups only.
        kind = (entry.group_type or _CLASSIC).lower()
        if entry.group_id == name and kind != _CLASSIC:
            has_members = entry.group_state not in _WITHOUT_MEMBERS
            return 0, ConsumerGroup(kind, has_members, ())
    request = DescribeGroupsRequest(groups=[name], version=connection.version_of(DescribeGroupsRequest))
    (described,) = connection.send(request).groups
    if described.error_code not in (0, _GROUP_NOT_FOUND):
        return described.error_code, None
    members = tuple(
        GroupMember(
            member.member_id,
            member.group_instance_id or "",
            member.client_id,
            member.client_host.removeprefix("/"),
            _read_host(member.member_metadata),
            _has_partitions(member.member_assignment),
        )
        for member in described.members
    )
    return 0, ConsumerGroup(_CLASSIC, bool(members), members)


def _has_partitions(assignment: bytes | None) -> bool:
    try:
        return bool(assignment and ConsumerProtocolAssignment.decode(assignment).assigned_partitions)
    except (struct.error, ValueError):
        return False


def _read_host(subscription: bytes | None) -> str:
    """Return the machine that a worker has announced; empty without one."""
    try:
        user_data = ConsumerProtocolSubscription.decode(subscription).user_data if subscription else None
    except (struct.error, ValueError):
        return ""
    return MemberData.decode(user_data).host
