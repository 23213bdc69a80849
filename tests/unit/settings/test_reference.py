"""The reference page of the settings."""

from __future__ import annotations

from pathlib import Path

from streamlearn.settings.reference import markdown


def test_the_page_of_settings_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "settings.md"
    assert page.read_text(encoding="utf-8") == markdown(), "generate it: python -m streamlearn.settings.reference"
