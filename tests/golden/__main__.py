"""Measure the golden figures anew and write them, after a change of the learner that is meant. A command:

    python -m tests.golden [--streams NAME,...] [--results FILE...]

Figures of streams that are not named stay. ``--results`` takes them from what `streamlearn evaluate --rule balanced
--json FILE` wrote of whole streams. Needs the real streams (STREAMLEARN_DATASETS names their folder).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from streamlearn.evaluation.prequential import Report
from streamlearn.evaluation.results import learner_name, read_reports
from tests.datasets import datasets_folder
from tests.golden.figures import RULE, STREAMS, figures, measured, read, write


def main() -> None:
    """Measure, write after each stream, and print what changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default=",".join(STREAMS), help="comma-separated")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="files of evaluate --json")
    options = parser.parse_args()
    names = options.streams.split(",")
    unknown = sorted(set(names) - set(STREAMS))
    if unknown:
        parser.error(f"no such golden stream: {', '.join(unknown)}; there are {', '.join(STREAMS)}")
    done: dict[str, Report] = {}
    for path in options.results:
        for report in read_reports(path):
            if learner_name(report) != f"streamlearn:{RULE}" or report.seed != 0:
                parser.error(f"{path}: {report.stream} was not run with rule {RULE}, preset default and seed 0")
            done[report.stream] = report
    for name in names:
        if options.results and name not in done:
            continue
        report = done.get(name) or measured(datasets_folder() / f"{name}.arff.gz")
        known = read()
        before = known.get(name, {}).get("measures", {})
        known[name] = figures(report)
        write(known)
        changes = ", ".join(
            f"{measure} {value:.4f} ({value - before[measure]:+.4f})" if measure in before else f"{measure} {value:.4f}"
            for measure, value in known[name]["measures"].items()
        )
        print(f"{name}: {changes}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
