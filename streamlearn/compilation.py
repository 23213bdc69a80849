"""Compilation ahead of use: for container images, and for services that must answer their first call at once."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from streamlearn.errors import UsageError
from streamlearn.model.warm_up import warm_up as warm_up_model
from streamlearn.printable import shown
from streamlearn.settings.presets import ALIASES, EXPERTS, PAPER
from streamlearn.settings.settings import LearnerSettings, Settings


def warm_up(preset: str = "default", progress: Callable[[str], None] | None = None) -> None:
    """Compile the kernels of a preset, or load them from the cache, so that no later call has to.

    On an empty cache this takes 20 to 25 seconds on two free cores, about 45 seconds of processor time, else less than
    a second. The cache is in ``$STREAMLEARN_CACHE_DIR``, or in ``~/.cache/streamlearn``. With
    ``STREAMLEARN_CPU=x86-64-v3``, or another level, the kernels are compiled for every CPU of that level, and the cache
    may be used on another machine.

    Parameters
    ----------
    preset:
        ``default``, ``fast``, or ``paper``, also called ``ihomer``. ``default`` and ``fast`` have the same kernels.
    progress:
        Called with lines of text, also from another thread.

    Raises
    ------
    UsageError
        For an unknown preset.
    """
    try:
        learner = LearnerSettings.model_validate({"preset": preset})
    except ValidationError:
        raise UsageError(f"preset = {shown(preset)}: there are {', '.join((*EXPERTS, PAPER, *ALIASES))}") from None
    warm_up_model(Settings(learner=learner), progress)
