"""Folders that exist only while something is tried in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.snapshot.temporary_folders import temporary_folders


def test_created_folders_are_removed_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with temporary_folders(tmp_path / "a" / "b" / "c"):
            assert (tmp_path / "a" / "b" / "c").is_dir()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_existing_folders_stay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with temporary_folders(tmp_path / "a"):
        pass
    with temporary_folders(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_a_folder_in_which_another_process_wrote_stays(tmp_path: Path) -> None:
    with temporary_folders(tmp_path / "a" / "b"):
        (tmp_path / "a" / "of another").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "of another"]


def test_folders_above_one_that_cannot_be_created_are_removed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        temporary_folders(tmp_path / "a" / ("b" * 300)).__enter__()
    assert list(tmp_path.iterdir()) == []
