"""Presets: which experts sit on the panel, or the published method in place of it."""

from __future__ import annotations

PAPER = "paper"
"""The preset that is the published method: it has no panel."""

LINEAR = ("slow_linear", "damped_linear", "softmax", "fast_linear")

EXPERTS = {
    "default": (*LINEAR, "neighbours", "naive_bayes", "burst", "label_tree"),
    "fast": LINEAR,
}
"""The experts of each other preset, of `learner.experts.panel.NAMES`; the label rates are on every panel."""
