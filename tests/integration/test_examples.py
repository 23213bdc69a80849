"""The example of the documentation that needs a broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "kafka_round_trip.py"


def test_instances_and_labels_go_round_through_kafka(broker: str, tmp_path: Path) -> None:
    settings = ["--set", f"kafka.bootstrap_servers={broker}"]
    settings += ["--set", "topics.labels=labels", "--set", "kafka.group_id=round-trip"]
    subprocess.run([sys.executable, "-m", "streamlearn", "topics", "create", *settings], check=True, cwd=tmp_path)
    shown = subprocess.check_output([sys.executable, str(EXAMPLE), broker], text=True, cwd=tmp_path)
    assert shown.splitlines()[-1].startswith("300 answers, the last: t299 ['account'")
