"""Everything that would keep a worker from running, found without starting one."""

from __future__ import annotations

from streamlearn.check.storage import storage_faults
from streamlearn.errors import StreamlearnError
from streamlearn.kafka.admin.access import access_faults
from streamlearn.kafka.admin.broker_clock import clock_faults
from streamlearn.kafka.admin.reachability import connection_faults
from streamlearn.kafka.admin.topics import startable
from streamlearn.settings.settings import Settings


def faults_of(settings: Settings) -> list[str]:
    """Return what is wrong, a sentence each, with what to do; empty when a worker could run.

    Nothing is changed: no topic is made, no partition is taken, no transaction begins. What needs a broker is left out
    when none can be reached.
    """
    faults = []
    try:
        connections = connection_faults(settings)
        faults.extend(connections)
        if not connections:
            topics, found = startable(settings)
            faults.extend([*topics, *access_faults(settings), *clock_faults(settings, found)])
    except StreamlearnError as error:
        faults.append(str(error))
    faults.extend(storage_faults(settings))
    return faults
