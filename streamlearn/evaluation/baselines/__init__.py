"""Baselines: learners to compare with, created by name."""

from streamlearn.evaluation.baselines.base import BaselineSetup, RowLearner
from streamlearn.evaluation.baselines.catalogue import BASELINES, STREAMLEARN, baseline, check_learner

__all__ = ["BASELINES", "STREAMLEARN", "BaselineSetup", "RowLearner", "baseline", "check_learner"]
