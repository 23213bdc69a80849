"""Learners to compare with, by name."""

from streamlearn.evaluation.baselines.catalogue import BASELINES, OURS, RowLearner, baseline

__all__ = ["BASELINES", "OURS", "RowLearner", "baseline"]
