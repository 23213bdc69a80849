"""A file that the first release wrote: it stays readable, and writing its contents again gives the same bytes."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.snapshot.format import FORMAT_VERSION, read_snapshot, verify_snapshot, write_snapshot
from streamlearn.state.arrays import state_hash, unpack_texts
from tests.golden_snapshot import MANIFEST, PATH, arrays


def test_golden_file_is_read_and_every_byte_is_right() -> None:
    manifest, read = read_snapshot(PATH)
    assert verify_snapshot(PATH) == manifest
    assert {name: manifest[name] for name in MANIFEST} == MANIFEST
    assert manifest["version"] == 1
    assert state_hash(read) == state_hash(arrays())
    assert unpack_texts(read["model.names"], read["model.name_offsets"]) == ["news", "größe", ""]


def test_numpy_opens_it() -> None:
    with np.load(PATH) as loaded:
        assert loaded["model.weights"].tolist() == arrays()["model.weights"].tolist()


@pytest.mark.skipif(FORMAT_VERSION != 1, reason="another version writes other bytes")
def test_writing_the_same_gives_the_same_bytes(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "again.npz", arrays(), MANIFEST)
    assert (tmp_path / "again.npz").read_bytes() == PATH.read_bytes()


def test_the_next_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "12-0123456789abcdef01234567.npz"
    shutil.copy(PATH, path)
    with zipfile.ZipFile(PATH) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as newer:
        for member in archive.infolist():
            data = archive.read(member)
            if member.filename == "manifest.json":
                data = data.replace(b'"version":1,', b'"version":%d,' % (FORMAT_VERSION + 1))
            newer.writestr(member.filename, data)
    with pytest.raises(SnapshotError, match=rf"{path}.*format version {FORMAT_VERSION + 1}.*upgrade streamlearn"):
        read_snapshot(path)
