"""The settings that a model begins with: the documentation has all of them, and says so wherever one is chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamlearn.engine.tasks.journalled_settings import _CHANGEABLE, _FIXED
from streamlearn.settings.loading import setting_names

ROOT = Path(__file__).parents[2]
UPGRADE = "operations/upgrade.md#change-settings-of-a-running-model"


def documented(row: str) -> set[str]:
    """Return the settings in a row of the table; ``name*`` stands for all that begin so."""
    page = (ROOT / "docs" / "operations" / "upgrade.md").read_text(encoding="utf-8")
    patterns = re.findall(r"`([\w.]+\*?)`", page.partition(f"| {row} |")[2].partition("\n")[0])
    return {
        name
        for name in setting_names()
        for pattern in patterns
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))
    }


def test_the_table_has_every_setting() -> None:
    for row, settings in (("fixed for a model", _FIXED), ("may change, journalled", _CHANGEABLE)):
        assert documented(row) == {f"{section}.{name}" for section, names in settings.items() for name in names}


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/try-it.md", "docs/settings.md", "docs/operations/labels.md", "docs/operations/deploy.md"],
)
def test_pages_on_which_a_model_begins_link_to_it(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "topics.labels" in text
    assert UPGRADE.removeprefix("operations/" if page.startswith("docs/operations") else "") in text
