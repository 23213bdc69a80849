"""Compression of records: which codecs can be used here, and the one that our own producers use.

A topic may hold batches of any codec: of its producers, or of its own ``compression.type``. The client imports one
package for each, and without it cannot read the topic.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from streamlearn.errors import UsageError
from streamlearn.settings.settings import KafkaSettings


class _Package(NamedTuple):
    """A package of a registry, and the module that the client imports from it."""

    name: str
    module: str


_PACKAGES = {
    "snappy": _Package("python-snappy", "snappy"),
    "lz4": _Package("lz4", "lz4.frame"),
    "zstd": _Package("zstandard", "zstandard"),
}
"""The codecs that are not in Python's standard library."""


def find_codec_faults() -> list[str]:
    """Return the codecs that cannot be used here, a sentence each, with the package to install."""
    return [fault for codec in _PACKAGES if (fault := _find_fault(codec))]


def compression_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the client's options for a producer that compresses as the settings say.

    Raises
    ------
    UsageError
        When the codec cannot be used here.
    """
    if kafka.compression == "none":
        return {"compression_type": None}
    fault = _find_fault(kafka.compression)
    if fault is not None:
        raise UsageError(f"kafka.compression = {kafka.compression}: {fault}")
    return {"compression_type": kafka.compression}


def _find_fault(codec: str) -> str | None:
    package = _PACKAGES.get(codec)
    if package is None:
        return None
    try:
        importlib.import_module(package.module)
    except ImportError as error:
        return (
            f"records that are compressed with {codec} cannot be read or written: its package {package.name} is "
            f"missing or broken ({error}); install it with `pip install {package.name}`"
        )
    return None
