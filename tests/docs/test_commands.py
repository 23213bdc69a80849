"""The commands of the documentation run as they stand there.

Every fenced block of the language ``sh`` is a script. The blocks of a page run in their order, in one empty folder that
has the checkout's folders and ``.venv/bin`` with the commands of this interpreter. A block is left out where the line
before it is a comment ``<!-- not run: REASON -->``. Blocks of Python run too, those of a page in one namespace.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(?P<note><!-- not run: (?P<reason>[^>]+) -->\n+)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL
)
BESIDE = ("deploy", "docs", "streamlearn", "tests", "pyproject.toml", "README.md")


def blocks(page: Path, language: str) -> Iterator[tuple[str, str | None]]:
    """Yield the text of each block of a language, and why it is not run, None if it is."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found["language"] == language:
            yield found["text"], found["reason"]


def run_blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page that run."""
    return [text for text, reason in blocks(page, language) if reason is None]


def pages(language: str) -> list[Path]:
    """Return the pages with blocks that run."""
    return [page for page in PAGES if run_blocks(page, language)]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with the checkout's folders in it, and ``.venv/bin`` of this interpreter."""
    for name in BESIDE:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return tmp_path


@pytest.mark.parametrize("page", pages("sh"), ids=named)
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(run_blocks(page, "sh"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{script}\n{run.stdout[-4000:]}\n{run.stderr[-4000:]}"


@pytest.mark.parametrize("page", pages("python"), ids=named)
def test_the_python_of_a_page_runs(page: Path, folder: Path) -> None:
    script = "\n".join(run_blocks(page, "python"))
    run = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{script}\n{run.stderr}"


def test_blocks_are_found_and_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nls\n```\n\n<!-- not run: takes an hour -->\n```sh\nsleep 3600\n```\n")
    assert list(blocks(page, "sh")) == [("ls\n", None), ("sleep 3600\n", "takes an hour")]
