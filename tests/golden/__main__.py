"""Measure the golden figures and write them, after an intended change of the learner. Run as a command:

    python -m tests.golden [--streams NAME,...] [--results FILE...]

The figures of other streams stay as they are. ``--results`` takes figures from files of `streamlearn evaluate --rule
balanced --json FILE` on whole streams. Needs the real streams (STREAMLEARN_DATASETS is their folder).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from streamlearn.evaluation.prequential import Report
from streamlearn.evaluation.results import learner_name, read_reports
from tests.datasets import datasets_folder
from tests.golden.figures import RULE, STREAMS, make_figures, measure, read, write


def main() -> None:
    """Measure; after each stream write the figures and print the changes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default=",".join(STREAMS), help="names, comma-separated (all)")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="files of streamlearn evaluate --json")
    options = parser.parse_args()
    names = options.streams.split(",")
    unknown = sorted(set(names) - set(STREAMS))
    if unknown:
        parser.error(f"unknown streams: {', '.join(unknown)}; choose from {', '.join(STREAMS)}")
    done: dict[str, Report] = {}
    for path in options.results:
        for report in read_reports(path):
            if learner_name(report) != f"streamlearn:{RULE}" or report.seed != 0:
                parser.error(f"{path}: {report.stream} was not run with rule {RULE}, preset default and seed 0")
            done[report.stream] = report
    for name in names:
        if options.results and name not in done:
            continue
        report = done.get(name) or measure(datasets_folder() / f"{name}.arff.gz")
        known = read()
        before = known.get(name, {}).get("measures", {})
        known[name] = make_figures(report)
        write(known)
        changes = ", ".join(
            f"{measure} {value:.4f} ({value - before[measure]:+.4f})" if measure in before else f"{measure} {value:.4f}"
            for measure, value in known[name]["measures"].items()
        )
        print(f"{name}: {changes}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
