"""The check of keys while brokers are not all there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kafka.structs import TopicPartition

from streamlearn.kafka.admin import key_placement, last_records
from streamlearn.kafka.admin.topics import TopicDescription
from streamlearn.settings.settings import Settings


class _WithoutLeaders:
    """A consumer that knows the leader of the first partition of each topic only."""

    def __init__(self, **options: Any) -> None:
        pass

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        pass

    def beginning_offsets(self, partitions: Sequence[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int]:
        return {partition: 0 for partition in partitions if partition.partition == 0}

    end_offsets = beginning_offsets

    def seek(self, partition: TopicPartition, offset: int) -> None:
        pass

    def close(self, **options: Any) -> None:
        pass


def test_partitions_without_a_leader_are_left_to_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_records, "KafkaConsumer", _WithoutLeaders)
    settings = Settings.model_validate({"engine": {"scope": "partition"}, "topics": {"labels": "labels"}})
    description = TopicDescription(2, "", None, {})
    assert key_placement.find_key_faults(settings, {"instances": description, "labels": description}) == []
