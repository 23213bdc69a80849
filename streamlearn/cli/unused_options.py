"""Options that would have no effect, or would destroy a file, are errors before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines import STREAMLEARN
from streamlearn.evaluation.prequential import MODEL_SECTIONS

_SETTINGS_OF_BASELINES = (
    "learner.seed",
    "measures.window",
    "labels.declared",
    "labels.maximum",
    "features.maximum",
    "features.hashed",
    "encoder.",
    "limits.",
)
"""Settings, and beginnings of their names, that an evaluation of a baseline depends on."""


def check_overrides(overrides: Sequence[str], learners: Iterable[str]) -> None:
    """Check that an evaluation of these learners depends on each setting of ``--set``.

    Raises
    ------
    UsageError
        When it does not depend on one.
    """
    learners = list(learners)
    for text in overrides:
        name = text.partition("=")[0].strip()
        if name.partition(".")[0] not in MODEL_SECTIONS:
            raise UsageError(f"--set {name}: an evaluation does not depend on it; leave it out")
        if learners and STREAMLEARN not in learners and not name.startswith(_SETTINGS_OF_BASELINES):
            raise UsageError(
                f"--set {name}: {', '.join(learners)} does not depend on it; leave it out, it is for --learner "
                f"{STREAMLEARN}"
            )


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[str]) -> None:
    """Check that no output is an input or another output, which writing would destroy.

    Parameters
    ----------
    outputs:
        The file of each option, None where it is not given.
    inputs:
        Files that are read, and names that are no files.

    Raises
    ------
    UsageError
        When one is, or is ``-``.
    """
    used = {Path(name).resolve(): name for name in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        if str(path) == "-":
            raise UsageError(f"{option} -: standard output has the tables; give a file, such as /dev/stderr")
        if path.resolve() in used and not path.is_char_device():
            raise UsageError(f"{option} {path}: {used[path.resolve()]} is the same file; give another one")
        used[path.resolve()] = option
