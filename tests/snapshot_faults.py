"""Snapshots as a disk, a careless copy or another model leaves them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from streamlearn.snapshot.format import read_snapshot, write_snapshot


def snapshots(folder: Path) -> list[Path]:
    """Return the snapshots, newest first."""
    return sorted(folder.rglob("*.npz"), key=lambda path: -int(path.name.split("-")[0]))


def damage(path: Path) -> None:
    """Turn one bit over in the largest array."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + largest.file_size // 2] ^= 1
    path.write_bytes(data)


def renamed(path: Path, *, seq: int | None = None, chain: str | None = None) -> Path:
    """Write a copy that says that it is of another sequence or chain; return where."""
    manifest, arrays = read_snapshot(path)
    own = _own(manifest)
    own["seq"] = own["seq"] if seq is None else seq
    own["chain"] = chain or own["chain"]
    other = path.with_name(f"{own['seq']}-{own['chain']}.npz")
    write_snapshot(other, arrays, own)
    return other


def alter_weights(path: Path) -> None:
    """Move every weight of the largest learner's array by one unit in the last place; the checksums fit."""
    manifest, arrays = read_snapshot(path)
    name = max(
        (name for name in arrays if name.startswith("model.learner") and arrays[name].dtype == np.float32),
        key=lambda name: np.count_nonzero(arrays[name]),
    )
    altered = arrays[name].copy()
    places = np.flatnonzero(altered)
    altered.flat[places] = np.nextafter(altered.flat[places], np.float32(2))
    write_snapshot(path, {**arrays, name: altered}, _own(manifest))


def _own(manifest: Any) -> dict[str, Any]:
    return {key: manifest[key] for key in manifest if key not in ("format", "version", "arrays")}
