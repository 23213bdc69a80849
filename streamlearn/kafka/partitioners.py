"""The hash partitioners of common Kafka clients, to find out which one placed the keys of a topic.

Java, kafka-python, KafkaJS and franz-go hash keys by murmur2. librdkafka (confluent-kafka and most other bindings) does
so by CRC-32 unless it is configured otherwise, Sarama by FNV-1a.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from kafka.partitioner import murmur2

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def _murmur2(key: bytes, count: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % count


def _crc32(key: bytes, count: int) -> int:
    return zlib.crc32(key) % count


def _fnv1a(key: bytes, count: int) -> int:
    code = _FNV_OFFSET
    for byte in key:
        code = ((code ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    # Sarama and librdkafka take the absolute value of the signed number.
    return (code if code < 1 << 31 else (1 << 32) - code) % count


PARTITIONERS: Mapping[str, Callable[[bytes, int], int]] = MappingProxyType(
    {"murmur2": _murmur2, "crc32": _crc32, "fnv1a": _fnv1a}
)
"""Name to the partition of a key among a number of partitions. Empty keys count as none: clients differ on them."""


def find_partitioners(placed: Mapping[bytes, Collection[int]], count: int) -> list[str]:
    """Return which partitioners place every one of the keys where it lies.

    Parameters
    ----------
    placed:
        Each key with the partitions in which it lies.
    count:
        Number of partitions.
    """

    def agrees(partitioner: Callable[[bytes, int], int], entries: Iterable[tuple[bytes, Collection[int]]]) -> bool:
        return all(set(partitions) == {partitioner(key, count)} for key, partitions in entries)

    return [name for name, partitioner in PARTITIONERS.items() if agrees(partitioner, placed.items())]
