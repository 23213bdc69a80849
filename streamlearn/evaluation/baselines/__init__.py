"""Learners to compare with, by name."""

from streamlearn.evaluation.baselines.base import RowLearner, Start
from streamlearn.evaluation.baselines.catalogue import BASELINES, OURS, baseline, check_learner

__all__ = ["BASELINES", "OURS", "RowLearner", "Start", "baseline", "check_learner"]
