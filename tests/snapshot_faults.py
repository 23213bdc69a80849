"""Damages snapshots as a disk, a careless copy or another model would."""

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
    """Flip one bit of the largest array."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + largest.file_size // 2] ^= 1
    path.write_bytes(data)


def copy_renamed(path: Path, *, seq: int | None = None, chain: str | None = None) -> Path:
    """Write a copy with another sequence number or chain in its path and manifest; return its path."""
    manifest, arrays = read_snapshot(path)
    keys = _own_keys(manifest)
    keys["seq"] = keys["seq"] if seq is None else seq
    keys["chain"] = chain or keys["chain"]
    other = path.with_name(f"{keys['seq']}-{keys['chain']}.npz")
    write_snapshot(other, arrays, keys)
    return other


def alter_weights(path: Path) -> None:
    """Move every weight of the largest array of the learner by one unit in the last place; the checksums fit."""
    manifest, arrays = read_snapshot(path)
    name = max(
        (name for name in arrays if name.startswith("model.learner") and arrays[name].dtype == np.float32),
        key=lambda name: np.count_nonzero(arrays[name]),
    )
    altered = arrays[name].copy()
    indices = np.flatnonzero(altered)
    altered.flat[indices] = np.nextafter(altered.flat[indices], np.float32(2))
    write_snapshot(path, {**arrays, name: altered}, _own_keys(manifest))


def _own_keys(manifest: Any) -> dict[str, Any]:
    return {key: manifest[key] for key in manifest if key not in ("format", "version", "arrays")}
