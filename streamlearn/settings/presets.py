"""Presets: which experts sit on the ensemble, or the published method in place of it."""

from __future__ import annotations

PAPER = "paper"
"""The preset that is the published method, iHOMER: it has no ensemble."""

ALIASES = {"ihomer": PAPER}
"""Other names that a preset is accepted by."""

FAST = ("slow_linear", "softmax", "fast_linear", "label_tree")

EXPERTS = {
    "default": (*FAST, "neighbours", "naive_bayes", "label_history"),
    "fast": FAST,
}
"""The experts of each other preset, of `learner.experts.logit_rows.EXPERT_NAMES`; label rates are always enabled."""

POOLED_SETS = {"default": 1000, "fast": 300}
"""How many label sets the pool of each of them takes."""
