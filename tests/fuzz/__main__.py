"""Fuzz one target. An input that makes it fail is kept in ``tests/fuzz/findings``, and every test run reads it again.

With Atheris (``pip install atheris``) the inputs are guided by code coverage; without it they are random mutations.
Exit status: 0 when the target raised our own errors only, 1 after a finding.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

try:
    import atheris as _atheris

    atheris: Any = _atheris
except ImportError:
    atheris = None

FINDINGS = Path(__file__).parent / "findings"


def main() -> int:
    """Fuzz one target for some seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="name in tests/fuzz/targets.py")
    parser.add_argument("--seconds", type=float, default=60, help="how long to fuzz (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (%(default)s)")
    options = parser.parse_args()
    if atheris is None:
        from tests.fuzz.targets import TARGETS
    else:
        with atheris.instrument_imports(include=["streamlearn", "tests.fuzz"]):
            from tests.fuzz.targets import TARGETS
    if options.target not in TARGETS:
        parser.error(f"unknown target: {options.target}; choose from {', '.join(TARGETS)}")
    from streamlearn.errors import StreamlearnError
    from tests.fuzz.mutation import mutate

    target = TARGETS[options.target]

    def run_once(data: bytes) -> None:
        try:
            target.read(data)
        except StreamlearnError:
            pass
        except Exception:
            _keep_finding(options.target, data)
            raise

    if atheris is not None:
        return _fuzz_with_atheris(run_once, target.seeds, options)
    draw = Random(options.seed)
    end = time.monotonic() + options.seconds
    count = 0
    while time.monotonic() < end:
        try:
            run_once(mutate(target.seeds, draw))
        except Exception:
            traceback.print_exc()
            return 1
        count += 1
    print(f"{options.target}: {count:,} inputs, only our own errors")  # noqa: T201
    return 0


def _fuzz_with_atheris(run_once: Any, seeds: list[bytes], options: argparse.Namespace) -> int:
    """Fuzz with inputs from Atheris, which ends the process itself."""
    import tempfile

    corpus = Path(tempfile.mkdtemp(prefix="streamlearn-fuzz-"))
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    arguments = [sys.argv[0], str(corpus), f"-seed={options.seed}", f"-max_total_time={int(options.seconds)}"]
    atheris.Setup(
        [*arguments, "-max_len=4096", "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={corpus}/"],
        run_once,
    )
    atheris.Fuzz()
    return 0


def _keep_finding(target: str, data: bytes) -> None:
    path = FINDINGS / target / hashlib.blake2b(data, digest_size=6).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"kept as {path}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
