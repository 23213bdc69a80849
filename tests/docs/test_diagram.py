"""The picture of the README is what its script draws."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree

SCRIPT = Path(__file__).parents[2] / "docs" / "assets" / "data_flow.py"


def test_the_picture_is_what_its_script_draws() -> None:
    drawn = runpy.run_path(str(SCRIPT))["draw"]()
    assert SCRIPT.with_name("data-flow.svg").read_text(encoding="utf-8") == drawn
    ElementTree.fromstring(drawn)
