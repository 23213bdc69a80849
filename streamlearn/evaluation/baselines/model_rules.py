"""Adaptive model rules (AMRules) as a learner of one label, on targets 0 and 1."""

from __future__ import annotations

from typing import Any

from river import drift, linear_model, rules, tree
from river.tree.split_criterion import VarianceRatioSplitCriterion

MIN_SAMPLES_SPLIT = 5


class _VarianceRatio(VarianceRatioSplitCriterion):
    """Variance ratio that is 0 for every split while the target is constant.

    river's own criterion then divides by the variance, which is 0, at the first attempt to expand a rule.
    """

    def merit_of_split(self, pre_split_dist: Any, post_split_dist: Any) -> float:
        """Return the share of the variance that a split removes."""
        if self.compute_var(pre_split_dist) <= 0.0:
            return 0.0
        return super().merit_of_split(pre_split_dist, post_split_dist)


class ModelRules(rules.AMRules):
    """river's AMRules with the published parameters, which also learns a label that is constant at first."""

    def __init__(self) -> None:
        super().__init__(
            n_min=200,
            delta=1e-5,
            tau=0.05,
            pred_type="model",
            pred_model=linear_model.LogisticRegression(),  # type: ignore[arg-type]
            splitter=tree.splitter.TEBSTSplitter(),
            drift_detector=drift.ADWIN(),
            fading_factor=0.99,
            anomaly_threshold=-0.75,
            m_min=30,
            min_samples_split=MIN_SAMPLES_SPLIT,
        )

    def _new_rule(self) -> Any:
        rule = super()._new_rule()
        rule.split_criterion = _VarianceRatio(MIN_SAMPLES_SPLIT)
        return rule
