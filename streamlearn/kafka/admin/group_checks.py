"""Checks of the consumer group: its protocol, and whether another machine has the worker's name."""

from __future__ import annotations

from streamlearn.errors import StopError, StreamlearnError, UsageError
from streamlearn.kafka.admin.consumer_group import describe_group
from streamlearn.kafka.admin.reachability import describe_this_machine
from streamlearn.settings.settings import Settings


def find_group_faults(settings: Settings) -> list[str]:
    """Return why a worker could not share the group, a sentence each.

    In a group that has members of another protocol the brokers choose the partitions of every member, also where one
    model needs them all.

    Raises
    ------
    RetryableError
        When the brokers cannot be reached.
    """
    try:
        group = describe_group(settings)
    except UsageError:
        # The checks of the connection and of the permissions name it.
        return []
    if group.is_classic or not group.has_members:
        return []
    return [
        f"group {settings.kafka.group_id} (kafka.group_id) has members that joined by the {group.kind} protocol "
        "(group.protocol), with which workers cannot share a group: stop these members, or set another kafka.group_id"
    ]


def check_group(settings: Settings) -> None:
    """Raise `StopError` when a worker could not share the group, or `RetryableError` as `find_group_faults`."""
    for fault in find_group_faults(settings):
        raise StopError(fault)


def find_name_warnings(settings: Settings) -> list[str]:
    """Return which worker on another machine would end if one were started here, a sentence each."""
    try:
        group = describe_group(settings)
    except StreamlearnError:
        return []
    name, here = settings.worker.name, describe_this_machine(settings)
    return [
        f"worker.name = {name} is held by a member of group {settings.kafka.group_id} on {member.host}, and this is "
        f"{here}: a worker that is started here ends that one; give each worker its own worker.name"
        for member in group.members
        if member.instance == name and member.host not in ("", here)
    ]
