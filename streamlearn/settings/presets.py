"""Presets: which experts sit on the panel, or the published method in place of it."""

from __future__ import annotations

PAPER = "paper"
"""The preset that is the published method: it has no panel."""

FAST = ("slow_linear", "softmax", "fast_linear", "label_tree")

EXPERTS = {
    "default": (*FAST, "neighbours", "naive_bayes", "burst"),
    "fast": FAST,
}
"""The experts of each other preset, of `learner.experts.logit_rows.NAMES`; the label rates are on every panel."""

POOLED_SETS = {"default": 1000, "fast": 300}
"""How many label sets the pool of each of them takes."""
