"""Write the golden snapshots of this model version, when it is new. Run as a command:

    python -m tests.golden.snapshots [--commit COMMIT]

A folder that exists is not overwritten: what a version has written, releases must read. Remove the folder of a version
that was never released to write it again. ``--commit`` notes the commit that wrote it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from streamlearn._version import MODEL_VERSION, __version__
from tests.golden.snapshots.case import EXPECTED, FOLDER, observe, write


def main() -> None:
    """Write the folder of this model version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit")
    commit = parser.parse_args().commit
    folder = FOLDER / str(MODEL_VERSION)
    if folder.exists():
        sys.exit(f"{folder} exists: a model version's golden snapshots are written once")
    write(folder)
    expected: dict[str, Any] = {"release": __version__, "commit": commit} if commit else {"release": __version__}
    for name, version in {"own": MODEL_VERSION, "migrated": MODEL_VERSION - 1}.items():
        if (FOLDER / str(version)).exists():
            with tempfile.TemporaryDirectory() as scratch:
                expected[name] = observe(FOLDER / str(version), Path(scratch))
    (folder / EXPECTED).write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
