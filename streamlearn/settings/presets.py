"""Presets: which experts sit on the panel."""

from __future__ import annotations

LINEAR = ("slow_linear", "damped_linear", "rare_linear", "fast_linear")

EXPERTS = {
    "default": (*LINEAR, "neighbours", "naive_bayes", "burst", "label_tree"),
    "fast": LINEAR,
}
"""The experts of each preset, of `learner.experts.panel.NAMES`; the label rates are on every panel."""
