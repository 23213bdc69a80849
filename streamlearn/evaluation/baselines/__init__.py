"""Learners to compare with, by name."""

from streamlearn.evaluation.baselines.catalogue import BASELINES, OURS, RowLearner, Start, baseline, check_learner

__all__ = ["BASELINES", "OURS", "RowLearner", "Start", "baseline", "check_learner"]
