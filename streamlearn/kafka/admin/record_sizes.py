"""How large the records that a run writes may become, whatever its input contains."""

from __future__ import annotations

from collections.abc import Mapping

from streamlearn.settings.settings import Settings

OUTPUT_BYTES = 16 << 10
"""Room for the ids, names and reasons of an output record; what is longer is left out, or depends on the labels."""
_RANGE_BYTES = 64
"""Offsets and brackets of one partition in a journal record, without the topic's name."""
_OTHER_BYTES = 2 << 10


def journal_record_bytes(settings: Settings, partitions: Mapping[str, int]) -> int:
    """Return an upper bound for the size of the journal's records.

    The record of a batch has a range of offsets for each partition of a task, and that of a new model has the settings
    besides.

    Parameters
    ----------
    partitions:
        The number of partitions of each input topic.
    """
    is_one_task = settings.engine.scope == "topic"
    ranges = sum(
        (count if is_one_task else 1) * (len(topic) + _RANGE_BYTES) for topic, count in partitions.items() if count
    )
    return _OTHER_BYTES + len(settings.model_dump_json()) + ranges
