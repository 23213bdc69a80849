"""Makes the learner of a preset: an ensemble of experts, or the published method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamlearn.errors import UsageError
from streamlearn.learner.drift.detectors import DriftDetectors
from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.settings.presets import EXPERTS, PAPER, POOLED_SETS
from streamlearn.settings.settings import Settings

if TYPE_CHECKING:
    from streamlearn.learner.ihomer.learner import IHomerLearner

ENSEMBLE = "ensemble"


def kind_of(settings: Settings) -> str:
    """Return ``ensemble`` or ``paper``; learners of one kind call the same kernels."""
    return PAPER if settings.learner.preset == PAPER else ENSEMBLE


def new_learner(
    settings: Settings, labels: int, maximum_labels: int, detectors: DriftDetectors | None = None
) -> StreamLearner:
    """Return the learner of the preset with this many labels before the first row.

    ``detectors`` replaces the drift detectors of the settings.

    Raises
    ------
    UsageError
        When the preset has detectors of its own.
    """
    chosen, drift = settings.learner, settings.drift
    support = settings.labels.min_count
    if kind_of(settings) == ENSEMBLE:
        return EnsembleLearner(
            labels,
            maximum_labels=maximum_labels,
            scores_top=chosen.scores_top,
            minimum_support=support,
            experts=EXPERTS[chosen.preset],
            pooled_sets=POOLED_SETS[chosen.preset],
            partition=chosen.partition,
            seed=chosen.seed,
            detectors=detectors or DriftDetectors(drift.detector, drift.significance, drift.cooldown_rows),
        )
    if detectors is not None:
        raise UsageError("preset paper has its published drift detectors: leave out drift_detector")
    return _ihomer()(
        labels,
        maximum_labels=maximum_labels,
        scores_top=chosen.scores_top,
        minimum_support=support,
        partition=chosen.partition,
        seed=chosen.seed,
    )


def learner_bytes_bound(settings: Settings, features: int, labels: int) -> int:
    """Return the largest size in bytes that the state of the preset's learner can have."""
    if kind_of(settings) == ENSEMBLE:
        return EnsembleLearner.bytes_bound(
            features, labels, EXPERTS[settings.learner.preset], settings.learner.partition
        )
    return _ihomer().bytes_bound(features, labels)


def _ihomer() -> type[IHomerLearner]:
    # Only this preset needs it, and its modules take a while to load.
    from streamlearn.learner.ihomer.learner import IHomerLearner

    return IHomerLearner
