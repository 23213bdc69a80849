"""Streaming, online multi-label learning on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlearn._version import __version__

if TYPE_CHECKING:
    from streamlearn.classifier import LabelHierarchyClassifier, LabelSetPrediction

__all__ = ["LabelHierarchyClassifier", "LabelSetPrediction", "__version__"]

_HOMES = {
    "LabelHierarchyClassifier": "streamlearn.classifier",
    "LabelSetPrediction": "streamlearn.classifier",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package stays cheap."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
