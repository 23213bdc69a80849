"""Streaming, online multi-label learning on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlearn._version import __version__

if TYPE_CHECKING:
    from streamlearn.classifier import LabelHierarchyClassifier
    from streamlearn.compilation import warm_up
    from streamlearn.predictor import LabelSetPrediction, LabelSetPredictor

__all__ = ["LabelHierarchyClassifier", "LabelSetPrediction", "LabelSetPredictor", "__version__", "warm_up"]

_MODULES = {
    "LabelHierarchyClassifier": "streamlearn.classifier",
    "LabelSetPrediction": "streamlearn.predictor",
    "LabelSetPredictor": "streamlearn.predictor",
    "warm_up": "streamlearn.compilation",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package stays cheap."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
