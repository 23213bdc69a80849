"""The declared metrics: their exposition, labels and counters."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamlearn.telemetry.attempts import Attempt
from streamlearn.telemetry.metrics import REASONS, ServiceMetrics
from tests.environment import is_required


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(CollectorRegistry())


def test_the_exposition_parses_and_every_name_has_the_prefix(metrics: ServiceMetrics) -> None:
    metrics.set_measures({"subset_accuracy": 0.5, "micro_f1": None}, {"subset_accuracy": 0.25})
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    assert families
    assert all(family.name.startswith("streamlearn_") for family in families)
    assert metrics.registry.get_sample_value("streamlearn_window_measure", {"measure": "subset_accuracy"}) == 0.5
    assert sum(len(family.samples) for family in families) < 250, "no series for every label or feature"


def test_an_unknown_reason_counts_as_other(metrics: ServiceMetrics) -> None:
    metrics.count_dead_letter("no such reason")
    assert metrics.registry.get_sample_value("streamlearn_dead_letters_total", {"reason": "other"}) == 1
    assert set(metrics.dead_letters) == set(REASONS)


def test_every_kind_of_attempt_is_counted_and_documented(metrics: ServiceMetrics) -> None:
    assert list(metrics.failures) == list(metrics.retries) == list(get_args(Attempt))
    page = (Path(__file__).parents[3] / "docs/operations/monitor.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `failures_total{of}` |"))
    assert [word for word in row.split("`")[3::2] if word in metrics.failures] == list(metrics.failures)


def test_measures_are_nan_before_any_is_set(metrics: ServiceMetrics) -> None:
    value = metrics.registry.get_sample_value("streamlearn_whole_measure", {"measure": "hamming_loss"})
    assert value is not None
    assert math.isnan(value)


def test_two_registries_in_one_process_are_independent() -> None:
    first, second = (ServiceMetrics(CollectorRegistry()) for _ in range(2))
    first.records["predicted"].inc(3)
    assert second.registry.get_sample_value("streamlearn_records_total", {"outcome": "predicted"}) == 0


def test_promtool_accepts_the_exposition(metrics: ServiceMetrics) -> None:
    if shutil.which("promtool") is None:
        if is_required("STREAMLEARN_REQUIRE_PROMTOOL"):
            pytest.fail("promtool is missing: install Debian's package prometheus")
        pytest.skip("promtool is missing: install Debian's package prometheus")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(metrics.registry), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()


MULTIPROCESS_PROGRAM = """
import json, os
from prometheus_client import CollectorRegistry, Gauge
from streamlearn.telemetry.metrics import ServiceMetrics

registry = CollectorRegistry()
metrics = ServiceMetrics(registry)
metrics.records["predicted"].inc(5)
metrics.commit_seconds.observe(0.1)
metrics.set_role("active")
foreign = Gauge("of_another_library", "A metric of the program that embeds the service.")
folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
print(json.dumps({
    "predicted": registry.get_sample_value("streamlearn_records_total", {"outcome": "predicted"}),
    "commits": registry.get_sample_value("streamlearn_commit_seconds_count"),
    "active": registry.get_sample_value("streamlearn_role", {"role": "active"}),
    "files": [open(os.path.join(folder, name), "rb").read().count(b"streamlearn") for name in os.listdir(folder)],
}))
"""


def test_a_folder_for_several_processes_leaves_the_values_in_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MULTIPROCESS_PROGRAM],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    # The other library's metric shows that the client does use the folder.
    assert found == {"predicted": 5, "commits": 1, "active": 1, "files": [0]}


def test_a_missing_folder_for_several_processes_does_not_stop_the_worker(tmp_path: Path) -> None:
    program = "from prometheus_client import CollectorRegistry as R\n"
    program += "from streamlearn.telemetry.metrics import ServiceMetrics; ServiceMetrics(R())"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "none")}
    subprocess.run([sys.executable, "-c", program], env=environment, timeout=60, check=True)
