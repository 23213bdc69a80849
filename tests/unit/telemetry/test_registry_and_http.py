"""Metrics and health as Prometheus and an orchestrator read them."""

from __future__ import annotations

import math
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamlearn.engine.telemetry import EngineInstruments
from streamlearn.engine.watchdog import Watchdog
from streamlearn.errors import UsageError
from streamlearn.settings.model import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.telemetry.http import ServiceServer
from streamlearn.telemetry.registry import REASONS, ServiceMetrics
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
    assert sum(len(family.samples) for family in families) < 200, "no series for every label or feature"


def test_an_unknown_reason_counts_as_other(metrics: ServiceMetrics) -> None:
    metrics.count_reason("never heard of")
    assert metrics.registry.get_sample_value("streamlearn_dead_letters_total", {"reason": "other"}) == 1
    assert set(metrics.dead_letters) == set(REASONS)


def test_measures_say_nothing_before_there_are_any(metrics: ServiceMetrics) -> None:
    value = metrics.registry.get_sample_value("streamlearn_whole_measure", {"measure": "hamming_loss"})
    assert value is not None
    assert math.isnan(value)


def test_two_workers_in_one_process_do_not_clash() -> None:
    first, second = (ServiceMetrics(CollectorRegistry()) for _ in range(2))
    first.records["predicted"].inc(3)
    assert second.registry.get_sample_value("streamlearn_records_total", {"outcome": "predicted"}) == 0


def test_promtool_finds_no_fault(metrics: ServiceMetrics) -> None:
    if shutil.which("promtool") is None:
        if is_required("STREAMLEARN_REQUIRE_PROMTOOL"):
            pytest.fail("promtool is missing: install Debian's package prometheus")
        pytest.skip("promtool is missing: install Debian's package prometheus")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(metrics.registry), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(clock=clock)


@pytest.fixture
def instruments(metrics: ServiceMetrics) -> EngineInstruments:
    published: list[OutputRecord] = []
    return EngineInstruments(metrics, Settings(), published.append)


@pytest.fixture
def server(metrics: ServiceMetrics, watchdog: Watchdog, instruments: EngineInstruments) -> Iterator[ServiceServer]:
    service = ServiceServer("127.0.0.1", 0, metrics.registry, watchdog.healthy, instruments.ready, instruments.describe)
    service.start()
    yield service
    service.close()


def test_healthy_while_the_loop_turns_idle_or_not(server: ServiceServer, watchdog: Watchdog, clock: Clock) -> None:
    watchdog.turned()
    assert get(server.url + "/healthz") == (200, "ok")
    clock.now += 29
    assert get(server.url + "/healthz")[0] == 200
    clock.now += 2
    status, text = get(server.url + "/healthz")
    assert status == 503
    assert "31 s" in text


def test_an_overdue_transaction_is_not_healthy(server: ServiceServer, watchdog: Watchdog, clock: Clock) -> None:
    with watchdog.transaction():
        clock.now += 26
        status, text = get(server.url + "/healthz")
    assert status == 503
    assert "transaction" in text


def test_ready_with_a_role_only(server: ServiceServer, instruments: EngineInstruments) -> None:
    assert get(server.url + "/readyz")[0] == 503
    instruments.role("restoring", {})
    assert get(server.url + "/readyz") == (503, "restoring")
    for role in ("active", "stand-by"):
        instruments.role(role, {})
        assert get(server.url + "/readyz") == (200, role)
    status, text = get(server.url + "/metrics")
    assert status == 200
    assert 'streamlearn_role{role="stand-by"} 1.0' in text


def test_a_taken_port_is_an_error_of_use(server: ServiceServer, metrics: ServiceMetrics) -> None:
    with pytest.raises(UsageError, match=r"http\.port"):
        ServiceServer("127.0.0.1", server.port, metrics.registry, lambda: None, lambda: None)
