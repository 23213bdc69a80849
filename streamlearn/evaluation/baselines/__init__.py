"""Learners to compare with, by name."""

from streamlearn.evaluation.baselines.catalogue import BASELINES, RowLearner, baseline

__all__ = ["BASELINES", "RowLearner", "baseline"]
