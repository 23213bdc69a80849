"""Files that the documentation names exist, and pages that list metrics and settings list all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamlearn.engine.tasks.journalled_settings import journalled_settings_of
from streamlearn.settings.settings import Settings
from streamlearn.telemetry.metrics import PREFIX, ServiceMetrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(r"`((?:streamlearn|tests|deploy)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    missing = [path for path in SOURCE.findall(page.read_text(encoding="utf-8")) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_modules_that_a_page_names_by_the_end_of_their_path_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    known = [
        f"/{path.relative_to(ROOT)}" for folder in ("streamlearn", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    missing = [
        name for name in re.findall(r"`([\w/]+\.py)`", text) if not any(path.endswith(f"/{name}") for path in known)
    ]
    assert not missing


def test_every_metric_is_described() -> None:
    registry = CollectorRegistry()
    ServiceMetrics(registry)
    text = (DOCS / "operations" / "monitor.md").read_text(encoding="utf-8")
    table = text.partition("| metric | type | meaning |")[2].partition("\n\n")[0]
    names = " ".join(row.split("|")[1] for row in table.splitlines() if row)
    described = set(re.findall(r"`(\w+)(?:\{[\w,]+\})?`", names))
    declared = {
        f"{family.name}{'_total' if family.type == 'counter' else ''}".removeprefix(f"{PREFIX}_")
        for family in registry.collect()
    }
    assert described == declared


def test_every_journalled_setting_is_listed_as_changeable_or_fixed() -> None:
    text = (DOCS / "operations" / "upgrade.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+\*?)`", text))
    patterns = {name.removesuffix("*") for name in named if name.endswith("*")} | {
        f"{section}." for section in re.findall(r"`([a-z_]+)\.\*`", text)
    }
    missing = [
        name
        for name in journalled_settings_of(Settings())
        if name not in named and not name.startswith(tuple(patterns))
    ]
    assert not missing
