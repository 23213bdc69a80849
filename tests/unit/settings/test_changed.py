"""The settings that differ from the defaults."""

from __future__ import annotations

from streamlearn.settings.changed import changed_settings
from streamlearn.settings.loading import load_settings


def test_only_changed_settings_of_the_sections_without_secrets() -> None:
    environment = {"STREAMLEARN_HTTP__TOKEN": "secret"}
    settings = load_settings(None, ["learner.seed=3", "labels.declared=a,b", "kafka.group_id=g"], environment).settings
    assert changed_settings(settings, ("learner", "labels", "http")) == {
        "learner.seed": 3,
        "labels.declared": ["a", "b"],
    }
    assert changed_settings(settings, ()) == {}
