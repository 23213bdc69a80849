"""Presets of the learner: the experts of the ensemble, or the published method instead of an ensemble."""

from __future__ import annotations

PAPER = "paper"
"""The preset for the published method, iHOMER, which has no ensemble."""

ALIASES = {"ihomer": PAPER}
"""Aliases of presets."""

FAST = ("slow_linear", "softmax", "fast_linear", "label_tree")

EXPERTS = {
    "default": (*FAST, "neighbours", "naive_bayes", "label_history"),
    "fast": FAST,
}
"""The experts of each ensemble preset, of `learner.experts.logit_rows.EXPERT_NAMES`; label rates are always enabled."""

POOLED_SETS = {"default": 1000, "fast": 300}
"""Capacity of the label-set pool of each ensemble preset."""
