"""The snapshot file: round trips, and what is refused with which message."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.snapshot.format import (
    FORMAT_VERSION,
    MANIFEST,
    read_manifest,
    read_snapshot,
    verify_snapshot,
    write_snapshot,
)
from streamlearn.state.arrays import state_hash


def example() -> dict[str, np.ndarray]:
    return {
        "experts/weights": np.arange(12, dtype=np.float32).reshape(3, 4),
        "counts": np.array([1.0, np.nan, -0.0, np.inf]),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 5), dtype=np.int64),
        "scalar": np.array(7, dtype=np.int32),
        "names": np.frombuffer("größe".encode(), dtype=np.uint8),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    write_snapshot(path, example(), {"lineage": "l1", "seq": 9})
    return path


def rewrite(path: Path, change, drop: str | None = None, compress: bool = False) -> None:
    """Write the zip again with another manifest, as another program would."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    change(manifest, members)
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            if name != drop:
                archive.writestr(name, content)
        archive.writestr(MANIFEST, json.dumps(manifest))


def test_arrays_and_manifest_round_trip(path):
    manifest, arrays = read_snapshot(path)
    assert state_hash(arrays) == state_hash(example())
    assert (manifest["format"], manifest["version"]) == ("streamlearn-snapshot", FORMAT_VERSION)
    assert (manifest["lineage"], manifest["seq"]) == ("l1", 9)
    assert all(array.flags.writeable for array in arrays.values())
    assert read_manifest(path) == manifest == verify_snapshot(path)


def test_numpy_opens_it(path):
    with np.load(path, allow_pickle=False) as opened:
        for name, array in example().items():
            np.testing.assert_array_equal(opened[name], array)
            assert opened[name].dtype == array.dtype


def test_the_same_content_gives_the_same_bytes_on_every_medium(path, tmp_path):
    class Pipe(io.RawIOBase):
        """Accepts writes only, as an upload does."""

        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.content += data
            return len(data)

    pipe = Pipe()
    write_snapshot(pipe, dict(reversed(example().items())), {"lineage": "l1", "seq": 9})
    assert bytes(pipe.content) == path.read_bytes()


def test_layout_does_not_matter(tmp_path):
    array = np.arange(24, dtype=np.float64).reshape(4, 6)
    variants = [array, np.asfortranarray(array), array.astype(">f8"), np.repeat(array, 2, axis=1)[:, ::2]]
    contents = []
    for number, variant in enumerate(variants):
        file = tmp_path / f"{number}.npz"
        write_snapshot(file, {"a": variant}, {})
        contents.append(file.read_bytes())
    assert contents == [contents[0]] * len(variants)


@pytest.mark.parametrize("name", ["", "../a", "/a", "a//b", "a b", "a\n"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(ValueError, match="array name"):
        write_snapshot(io.BytesIO(), {name: np.zeros(1)}, {})


def test_reserved_keys_are_refused():
    with pytest.raises(ValueError, match="'arrays'"):
        write_snapshot(io.BytesIO(), {}, {"arrays": []})


def test_objects_are_refused():
    with pytest.raises(TypeError, match="'a'"):
        write_snapshot(io.BytesIO(), {"a": np.array([object()])}, {})


def test_a_failed_write_keeps_the_old_file(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_snapshot(path, example(), {"value": float("nan")})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["model.npz"]


def test_a_full_disk_is_a_snapshot_error():
    with pytest.raises(SnapshotError, match=r"/dev/full: No space"), open("/dev/full", "wb", 0) as full:
        write_snapshot(full, {"a": np.zeros(100_000)}, {})


def test_an_absent_file_is_an_error_with_its_name(tmp_path):
    with pytest.raises(SnapshotError, match=r"absent\.npz does not exist"):
        read_snapshot(tmp_path / "absent.npz")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a snapshot" * 100])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "other.npz"
    file.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"other\.npz"):
        read_snapshot(file)


def test_a_zip_of_something_else_is_refused(tmp_path):
    file = tmp_path / "other.npz"
    np.savez(file, a=np.zeros(3))
    with pytest.raises(SnapshotError, match=r"other\.npz.*not a snapshot"):
        read_snapshot(file)


def change_version(manifest, members):
    manifest["version"] = FORMAT_VERSION + 1


def change_shape(manifest, members):
    manifest["arrays"][0]["shape"] = [2, 2]


def change_dtype(manifest, members):
    manifest["arrays"][0]["dtype"] = "<i8"


def change_digest(manifest, members):
    manifest["arrays"][0]["sha256"] = "0" * 64


def change_to_objects(manifest, members):
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    members["counts.npy"] = file.getvalue()
    manifest["arrays"][0] |= {"dtype": "|O", "shape": [1]}


def change_values(manifest, members):
    content = bytearray(members["counts.npy"])
    content[-1] ^= 1
    members["counts.npy"] = bytes(content)


def change_size(manifest, members):
    members["counts.npy"] = members["counts.npy"][:-8]


def add_member(manifest, members):
    members["extra.npy"] = members["counts.npy"]


def remove_list(manifest, members):
    del manifest["arrays"]


def change_format(manifest, members):
    manifest["format"] = "other"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_version, f"format version {FORMAT_VERSION + 1}.*upgrade streamlearn"),
        (change_shape, "'counts' is .*manifest says"),
        (change_dtype, "'counts' is .*manifest says"),
        (change_digest, "'counts'.*SHA-256"),
        (change_to_objects, "booleans, integers and floats"),
        (change_values, "'counts'.*SHA-256"),
        (change_size, "'counts' has 24 bytes instead of 32"),
        (add_member, "members are not those"),
        (remove_list, "list of arrays"),
        (change_format, "not a snapshot"),
    ],
)
@pytest.mark.parametrize("read", [read_snapshot, verify_snapshot])
def test_what_is_wrong_is_reported(path, read, change, words):
    rewrite(path, change)
    with pytest.raises(SnapshotError, match=rf"model\.npz.*{words}"):
        read(path)


def test_a_missing_member_is_reported(path):
    rewrite(path, lambda manifest, members: None, drop="counts.npy")
    with pytest.raises(SnapshotError, match="array 'counts' is missing"):
        read_snapshot(path)


def test_compressed_members_are_refused(path):
    rewrite(path, lambda manifest, members: None, compress=True)
    with pytest.raises(SnapshotError, match="compressed"):
        read_snapshot(path)


def test_verify_requires_the_digest_in_the_comment(path):
    rewrite(path, lambda manifest, members: None)
    read_snapshot(path)
    with pytest.raises(SnapshotError, match="at the end of the file"):
        verify_snapshot(path)
