"""The arrays and the manifest of ``tests/data/snapshot-v1.npz``. Run as a command it writes them to a path.

The file stays as the first release wrote it; this is what it must hold.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from streamlearn.snapshot.format import write_snapshot
from streamlearn.state.arrays import pack_texts

PATH = Path(__file__).parent / "data" / "snapshot-v1.npz"
MANIFEST: dict[str, Any] = {
    "group": "group",
    "lineage": "a" * 16,
    "task": 0,
    "seq": 12,
    "chain": "0123456789abcdef01234567",
    "positions": [["instances", 0, 480], ["labels", 0, 93]],
    "topics": {"instances": ["id-1", 1], "labels": ["id-2", 1]},
    "journal_offset": 25,
    "kernel": "k" * 16,
    "settings": {"learner.preset": "default", "learner.seed": 0},
}


def arrays() -> dict[str, np.ndarray]:
    """Return one array of each kind that a snapshot may hold."""
    kinds = ("?", "<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")
    made = {f"kinds.{kind.strip('<?') or 'b1'}": (np.arange(6) % 2).astype(kind).reshape(2, 3) for kind in kinds}
    names, offsets = pack_texts(["news", "größe", ""])
    special = np.array([1 / 3, -0.0, np.inf, -np.inf, np.nan, 5e-324])
    return {
        **made,
        "model.names": names,
        "model.name_offsets": offsets,
        "model.weights": (np.arange(60, dtype=np.float32) / 7).reshape(12, 5),
        "model.special": special,
        "model.empty": np.zeros((0, 4), np.int64),
        "model.scalar": np.array(7, np.int64),
    }


if __name__ == "__main__":
    write_snapshot(sys.argv[1], arrays(), MANIFEST)
