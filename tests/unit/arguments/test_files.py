"""What is not a path or binary file object, or cannot be opened, is refused with an error that names it."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamlearn import LabelHierarchyClassifier, LabelSetPredictor
from streamlearn.errors import FileAccessError, FileMissingError, SnapshotError, UsageError


@pytest.fixture(scope="module")
def model() -> LabelHierarchyClassifier:
    model = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16)
    model.learn_one({"a": 1}, {"p"})
    return model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("a text\n", encoding="utf-8")
    (tmp_path / "empty").touch()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert sorted(os.listdir()) == ["empty", "folder", "notes.txt"]
    assert not os.listdir("folder")


NOT_PATHS = [
    (None, "None is of type NoneType: pass a path, or a binary file object"),
    (5, "5 is of type int: pass a path"),
    (b"model.npz", r"the path b'model.npz' is of type bytes: pass os\.fsdecode\(path\)"),
    ("", "'' is not a path of this system"),
    ("a\0b", r"'a\\x00b' is not a path of this system"),
    ("\ud800", r"'\\ud800' is not a path of this system"),
    (io.StringIO(), r"StringIO.* is a file of text: open it with mode '.b', or use io.BytesIO"),
]


@pytest.mark.parametrize(("path", "message"), NOT_PATHS)
def test_what_is_no_file(place: Path, model: LabelHierarchyClassifier, path: Any, message: str) -> None:
    for call in (model.save, model.snapshot().save, LabelHierarchyClassifier.load):
        with pytest.raises(UsageError, match=f"^{call.__name__}: .*{message}"):
            call(path)


@pytest.mark.parametrize(
    ("path", "kind", "number", "message"),
    [
        ("no.npz", FileMissingError, errno.ENOENT, "there is no file 'no.npz': pass the path of a file that was saved"),
        ("no\n\udc80", FileMissingError, errno.ENOENT, r"there is no file 'no\\n\\udc80'"),
        ("nowhere/no.npz", FileNotFoundError, errno.ENOENT, "there is no file 'nowhere/no.npz'"),
        (Path("folder"), FileAccessError, errno.EISDIR, "'folder' cannot be read: Is a directory"),
        ("empty/no.npz", OSError, errno.ENOTDIR, "'empty/no.npz' cannot be read: Not a directory"),
    ],
)
def test_files_that_cannot_be_loaded(place: Path, path: Any, kind: Any, number: int, message: str) -> None:
    with pytest.raises(kind, match=f"^load: {message}") as refused:
        LabelHierarchyClassifier.load(path)
    assert isinstance(refused.value, UsageError)
    assert refused.value.errno == number


@pytest.mark.parametrize("name", ["notes.txt", "empty"])
def test_files_that_are_no_snapshots(place: Path, name: str) -> None:
    for file in (name, io.BytesIO(Path(name).read_bytes())):
        origin = repr(name) if file is name else "<_io.BytesIO"
        with pytest.raises(SnapshotError, match=f"^snapshot {origin}.* is damaged or truncated, or no snapshot"):
            LabelHierarchyClassifier.load(file)


@pytest.mark.parametrize(
    ("path", "kind", "number", "message"),
    [
        ("new/a/m.npz", FileMissingError, errno.ENOENT, "there is no folder 'new/a' for 'new/a/m.npz': create it"),
        (Path("new/m.npz"), FileNotFoundError, errno.ENOENT, "there is no folder 'new'"),
        ("new/", FileNotFoundError, errno.ENOENT, "there is no folder 'new'"),
        ("folder", FileAccessError, errno.EISDIR, "'folder' is a folder: pass the path of a file in it"),
        ("folder/", OSError, errno.EISDIR, "'folder/' is a folder"),
        ("empty/m.npz", FileAccessError, errno.ENOTDIR, "'empty' is not a folder"),
        ("empty/no/m.npz", FileAccessError, errno.ENOTDIR, "'empty/no/m.npz' cannot be written: Not a directory"),
        ("folder/" + "m" * 250, OSError, errno.ENAMETOOLONG, "'folder/m+' cannot be written: File name too long: make"),
    ],
)
def test_places_that_cannot_be_saved_to(
    place: Path, model: LabelHierarchyClassifier, path: Any, kind: Any, number: int, message: str
) -> None:
    for each in (model, model.snapshot()):
        with pytest.raises(kind, match=f"^save: {message}") as refused:
            each.save(path)
        assert isinstance(refused.value, UsageError)
        assert refused.value.errno == number


def test_a_place_that_the_system_protects_and_a_disk_without_room(model: LabelHierarchyClassifier) -> None:
    with pytest.raises(FileAccessError, match=r"^save: '/sys/model\.npz' cannot be written: "):
        model.save("/sys/model.npz")
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(FileAccessError, match=r"'/dev/full' .*No space left") as refused,
    ):
        model.save(full)
    assert refused.value.errno == errno.ENOSPC


class Unbuffered(io.RawIOBase):
    """Takes few bytes at a time, as a pipe does, and cannot seek."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)[:1000]
        self.data += taken
        return len(taken)

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), len(self.data))
        buffer[:size] = self.data[:size]
        del self.data[:size]
        return size


@pytest.mark.parametrize("of", [lambda model: model, LabelHierarchyClassifier.snapshot])
def test_file_objects(tmp_path: Path, model: LabelHierarchyClassifier, of: Any) -> None:
    saved: LabelHierarchyClassifier | LabelSetPredictor = of(model)
    saved.save(tmp_path / "model.npz")
    expected = (tmp_path / "model.npz").read_bytes()
    memory, unbuffered = io.BytesIO(), Unbuffered()
    with tempfile.TemporaryFile() as temporary, tempfile.SpooledTemporaryFile() as spooled:
        for file in (memory, unbuffered, temporary, spooled):
            saved.save(file)
            loaded = LabelHierarchyClassifier.load(file)
            assert loaded.state_hash() == model.state_hash()
            assert not file.closed
    assert memory.getvalue() == expected
    with open(tmp_path / "model.npz", "rb", buffering=0) as file:
        assert LabelHierarchyClassifier.load(file).state_hash() == model.state_hash()


def test_file_objects_that_are_closed_or_open_for_something_else(
    tmp_path: Path, model: LabelHierarchyClassifier
) -> None:
    path = tmp_path / "model.npz"
    load = LabelHierarchyClassifier.load
    with open(path, "wb") as file, pytest.raises(UsageError, match=r"load: .*model.npz.* is not readable: .*'rb'"):
        load(file)
    with open(path, "rb") as file, pytest.raises(UsageError, match=r"save: .*model.npz.* is not writable: .*'wb'"):
        model.save(file)
    with pytest.raises(UsageError, match=r"save: .*model.npz.* is closed"):
        model.save(file)
    with pytest.raises(UsageError, match=r"load: .*model.npz.* is closed"):
        load(file)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as text, pytest.raises(UsageError, match="file of text"):
        model.save(text)
