"""The settings that decide what the model answers: they are journalled, because a replay must use the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlearn.errors import JournalError, UsageError
from streamlearn.settings.settings import Settings

_FIXED = {
    "learner": ("preset", "partition", "seed"),
    "labels": ("declared", "maximum"),
    "features": ("maximum", "hashed"),
    "encoder": ("text_fields", "text_columns", "text_words", "text_pairs", "text_word_length"),
    "measures": ("window",),
    "engine": ("scope",),
    "topics": ("labels",),
}
_CHANGEABLE = {
    "learner": ("rule", "scores_top"),
    "labels": (
        "min_count",
        "retire_after_instances",
        "negative_after_seconds",
        "clock_tolerance_seconds",
        "orphan_seconds",
        "orphan_count",
        "orphan_bytes",
        "pending_seconds",
        "pending_count",
        "pending_bytes",
    ),
    "drift": ("detector", "significance", "cooldown_rows"),
    "limits": (
        "record_bytes",
        "labels_per_record",
        "features_per_record",
        "id_bytes",
        "name_bytes",
        "label_bytes",
        "bad_window",
    ),
    "engine": ("frozen",),
}


def journalled_settings_of(settings: Settings) -> dict[str, Any]:
    """Return the journalled settings as JSON values, by ``section.key``."""
    values: dict[str, Any] = {}
    for group in (_FIXED, _CHANGEABLE):
        for section, names in group.items():
            for name in names:
                value = getattr(getattr(settings, section), name)
                values[f"{section}.{name}"] = list(value) if isinstance(value, tuple) else value
    return dict(sorted(values.items()))


def with_journalled_settings(settings: Settings, journalled: Mapping[str, Any]) -> Settings:
    """Return the settings with their journalled part replaced.

    A setting that the journal lacks, because the release that wrote it did not have it, gets its default: what a replay
    computes must not depend on the settings of the run.

    Raises
    ------
    JournalError
        When the journal has a setting that this release does not have, because a newer one wrote it.
    """
    defaults = journalled_settings_of(Settings())
    if unknown := sorted(journalled.keys() - defaults.keys()):
        shown = ", ".join(f"{name} = {journalled[name]!r}" for name in unknown)
        raise JournalError(
            f"the model has {shown}, which this release does not know: run the release that wrote it, or a newer one"
        )
    tree = settings.model_dump(by_alias=True)
    for name, value in {**defaults, **journalled}.items():
        section, _, key = name.partition(".")
        tree[section][key] = value
    return Settings.model_validate(tree)


def check_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise `UsageError` when a setting differs that is fixed once a model has started."""
    fixed = {f"{section}.{name}" for section, names in _FIXED.items() for name in names}
    for name in sorted(fixed):
        if name in before and before[name] != after[name]:
            raise UsageError(
                f"{name} is {after[name]!r}, but the model in the journal began with {before[name]!r}: "
                "set it back, or begin a new model with another kafka.group_id"
            )
