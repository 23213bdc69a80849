"""Finds everything that would keep a worker from running, without starting one."""

from __future__ import annotations

from streamlearn.check.models import find_model_faults
from streamlearn.check.storage import find_storage_faults
from streamlearn.errors import StreamlearnError
from streamlearn.kafka.admin.access import find_access_faults
from streamlearn.kafka.admin.broker_clock import find_clock_faults, find_timestamp_warnings
from streamlearn.kafka.admin.group_checks import find_group_faults, find_name_warnings
from streamlearn.kafka.admin.key_placement import find_key_faults
from streamlearn.kafka.admin.reachability import find_connection_faults, find_usable_broker
from streamlearn.kafka.admin.topics import find_topic_faults
from streamlearn.kafka.codecs import find_codec_faults
from streamlearn.settings.settings import Settings


def find_faults(settings: Settings) -> list[str]:
    """Return what is wrong, a sentence each, with what to do; empty when a worker could run.

    Nothing is changed: no topic is created, no partition is taken, no transaction begins. What needs a broker is left
    out when none can be reached.
    """
    faults = find_codec_faults()
    try:
        connection_faults = find_connection_faults(settings)
        faults.extend(connection_faults)
        if not connection_faults:
            topic_faults, topics = find_topic_faults(settings)
            faults.extend([*topic_faults, *find_access_faults(settings), *find_group_faults(settings)])
            faults.extend([*find_clock_faults(settings, topics), *find_key_faults(settings, topics)])
            if not faults:
                # The rest reads the topics, and would only report the same faults again.
                faults.extend(find_model_faults(settings, topics))
    except StreamlearnError as error:
        faults.append(str(error))
    faults.extend(find_storage_faults(settings))
    return faults


def find_warnings(settings: Settings) -> list[str]:
    """Return what is no fault, but surprises: a sentence each, with what to do; nothing is changed.

    This is what a worker that is started on this machine would do to others, and inputs without timestamps. What cannot
    be asked for is left out: `find_faults` names the reason.
    """
    try:
        find_usable_broker(settings)
        _, topics = find_topic_faults(settings)
        return [*find_name_warnings(settings), *find_timestamp_warnings(settings, topics)]
    except StreamlearnError:
        return []
