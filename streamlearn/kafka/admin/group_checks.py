"""Checks of the consumer group: its protocol, and whether another machine has the worker's name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamlearn.errors import StopError, StreamlearnError, UsageError
from streamlearn.kafka.admin.consumer_group import GroupMember, describe_group
from streamlearn.kafka.admin.reachability import describe_this_machine
from streamlearn.settings.settings import Settings

_logger = logging.getLogger(__name__)

EXPIRY_MARGIN_SECONDS = 2.0
"""Time beyond the session timeout in which the group coordinator notices that a member is gone."""
MEMBERS_POLL_SECONDS = 0.2
"""How often the group is asked whether it has members."""


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


def find_living_members(
    settings: Settings, counts: Callable[[GroupMember], bool] = lambda member: True
) -> tuple[GroupMember, ...]:
    """Return the members of the group that live; waits while there are any that may have been killed.

    A worker that was killed stays a member for the session timeout. Members that are still there after it live.

    Parameters
    ----------
    settings:
        The settings of a worker.
    counts:
        Returns whether a member counts; others are left out.

    Raises
    ------
    UsageError, RetryableError
        As `describe_group`.
    """
    seconds = settings.kafka.session_timeout_ms / 1000 + EXPIRY_MARGIN_SECONDS
    deadline = time.monotonic() + seconds
    is_noted = False
    while True:
        members = tuple(filter(counts, describe_group(settings).members))
        if not members or time.monotonic() >= deadline:
            return members
        if not is_noted:
            is_noted = True
            shown = ", ".join(sorted(map(str, members)))
            _logger.info("waiting for up to %.1f s, in case these workers were killed: %s", seconds, shown)
        time.sleep(MEMBERS_POLL_SECONDS)


def wait_for_other_workers(settings: Settings) -> None:
    """Wait until no other worker of the group lives that would have to end for this one to get its partitions.

    In scope ``topic`` these are all; in scope ``partition`` those of the same name.

    Raises
    ------
    StopError
        When one lives; it names those that hold partitions.
    UsageError, RetryableError
        As `find_living_members`.
    """
    is_shared = settings.engine.scope == "partition"
    others = find_living_members(settings, lambda each: not is_shared or each.instance == settings.worker.name)
    if others:
        holders = [member for member in others if member.holds_partitions] or others
        raise StopError(
            f"group {settings.kafka.group_id} has an active worker: {', '.join(sorted(map(str, holders)))}. Stop "
            "that one with SIGTERM, which drains it"
        )


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
