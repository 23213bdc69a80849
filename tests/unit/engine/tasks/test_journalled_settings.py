"""The journalled settings of a model: those that a release lacks or adds."""

from __future__ import annotations

import pytest

from streamlearn.engine.tasks.journalled_settings import journalled_settings_of, with_journalled_settings
from streamlearn.errors import JournalError
from streamlearn.settings.settings import Settings


def test_a_setting_of_a_newer_release_is_named() -> None:
    with pytest.raises(JournalError, match=r"the model has learner\.depth = 3, which this release does not know"):
        with_journalled_settings(Settings(), {"learner.depth": 3, "learner.rule": "hamming"})


def test_a_setting_that_the_journal_lacks_gets_its_default() -> None:
    run = Settings.model_validate({"labels": {"min_count": 9}, "learner": {"rule": "subset"}})
    found = with_journalled_settings(run, {"learner.rule": "hamming"})
    assert journalled_settings_of(found) == journalled_settings_of(Settings()) | {"learner.rule": "hamming"}
