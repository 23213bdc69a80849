"""Loading of settings: precedence, origins, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.errors import SettingsError, UsageError
from streamlearn.settings.loading import load_settings, setting_names


def test_later_sources_take_precedence_and_each_value_has_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[kafka]\ngroup_id = "file"\nsession_timeout_ms = 7000\n[http]\nport = 1\n')
    environment = {"STREAMLEARN_KAFKA__SESSION_TIMEOUT_MS": "8000", "STREAMLEARN_HTTP__PORT": "2"}
    settings, origins = load_settings(file, ["http.port=3"], environment)
    assert (settings.kafka.group_id, settings.kafka.session_timeout_ms, settings.http.port) == ("file", 8000, 3)
    assert settings.journal_topic == "file-journal"
    assert origins["kafka.group_id"] == str(file)
    assert origins["kafka.session_timeout_ms"] == "environment STREAMLEARN_KAFKA__SESSION_TIMEOUT_MS"
    assert origins["http.port"] == "--set http.port"
    assert origins["http.host"] == "default"
    assert list(origins) == setting_names()


def test_values_are_parsed_as_toml_or_taken_as_text() -> None:
    overrides = ["labels.declared=a, b", "kafka.group_id=12", "log.json=true", "worker.name=true"]
    settings = load_settings(None, overrides, {}).settings
    assert settings.labels.declared == ("a", "b")
    assert (settings.kafka.group_id, settings.log.json_lines, settings.worker.name) == ("12", True, "true")
    assert load_settings(None, ['labels.declared=["x"]'], {}).settings.labels.declared == ("x",)
    assert load_settings(None, ["labels.declared=2024"], {}).settings.labels.declared == ("2024",)
    assert load_settings(None, ["topics.labels=", "topics.metrics="], {}).settings.topics.labels == ""


def test_variables_of_an_orchestrator_are_ignored() -> None:
    environment = {
        "STREAMLEARN_KAFKA_PORT": "tcp://10.0.0.1:9092",
        "STREAMLEARN_KAFKA_SERVICE_HOST": "10.0.0.1",
        "STREAMLEARN_KAFKA_SERVICE_PORT": "9092",
        "STREAMLEARN_KAFKA_SERVICE_PORT_CLIENTS": "9092",
        "STREAMLEARN_HTTP_PORT_80_TCP": "tcp://10.0.0.2:80",
        "STREAMLEARN_HTTP_PORT_80_TCP_PORT": "80",
        "STREAMLEARN_HTTP_PORT": "tcp://10.0.0.2:80",
        "STREAMLEARN_HOME": "/srv",
        "STREAMLEARN_VERSION": "1.2",
        "STREAMLEARN_CACHE_DIR": "/tmp/x",
    }
    assert load_settings(None, (), environment) == load_settings(None, (), {})


@pytest.mark.parametrize(
    ("overrides", "environment", "message"),
    [
        (["kafka.grup_id=x"], {}, "did you mean 'kafka.group_id'"),
        ([], {"STREAMLEARN_KAKFA__GROUP_ID": "x"}, "did you mean 'kafka.group_id'"),
        ([], {"STREAMLEARN_KAFKA_BOOTSTRAP": "h:1"}, "did you mean 'STREAMLEARN_KAFKA__BOOTSTRAP_SERVERS'"),
        ([], {"STREAMLEARN_KAFKA_GROUP_ID": "x"}, "did you mean 'STREAMLEARN_KAFKA__GROUP_ID'"),
        ([], {"STREAMLEARN_HTTP_PORT": "80"}, "did you mean 'STREAMLEARN_HTTP__PORT'"),
        ([], {"STREAMLEARN_CACHEDIR": "/x"}, "did you mean 'STREAMLEARN_CACHE_DIR'"),
        (["kafka.group_id"], {}, "section.key=value"),
        (["http.port=true"], {}, "http.port from --set http.port: Input should be a valid integer (value True)"),
        (["http.port=80.0"], {}, "http.port from --set http.port"),
        (["engine.batch_seconds=true"], {}, "engine.batch_seconds"),
        (["http.enabled=2"], {}, "http.enabled from --set http.enabled: Input should be a valid boolean (value 2)"),
        (["log.json=maybe"], {}, "log.json from --set log.json"),
        (["kafka.bootstrap_servers=a:9092,b:port"], {}, "'b:port' is not an address"),
        (["kafka.bootstrap_servers=,"], {}, "there is no broker"),
        (["http.port=seventy"], {}, "http.port from --set http.port"),
        ([], {"STREAMLEARN_HTTP__PORT": ""}, "environment STREAMLEARN_HTTP__PORT"),
        (["learner.rule=best"], {}, "top_k:K"),
        (["learner.preset=huge"], {}, "learner.preset"),
        (["engine.batch_seconds=nan"], {}, "engine.batch_seconds"),
        (["topics.predictions=instances"], {}, "topics.predictions and topics.instances are both 'instances'"),
        (["topics.labels=streamlearn-journal"], {}, "topics.journal and topics.labels are both"),
        (["topics.predictions=pre dictions"], {}, "topics.predictions from --set topics.predictions: the name of a"),
        (["topics.events=a.b", "topics.metrics=a_b"], {}, "differ only in '.' and '_'"),
        (["kafka.group_id=a.b", "topics.metrics=a_b-journal"], {}, "topics.journal = 'a.b-journal'"),
        (["labels.declared=a,b\udcff"], {}, "the name 'b\\udcff' has \\udcff, half of a surrogate pair"),
        ([], {"STREAMLEARN_ENCODER__TEXT_FIELDS": "\ud800"}, "the name '\\ud800' has \\ud800, half of"),
        (["kafka.group_id=a\nb"], {}, "kafka.group_id from --set kafka.group_id: the name has the character '\\n'"),
        (["worker.name=a\x1bb"], {}, "worker.name from --set worker.name: the name has the character '\\x1b'"),
    ],
)
def test_invalid_settings_are_refused(overrides: list[str], environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_settings(None, overrides, environment)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("1", True), ("on", True), ("no", False), ("FALSE", False), ("0", False)],
)
def test_booleans_may_be_written_in_the_usual_ways(text: str, value: bool) -> None:
    assert load_settings(None, [f"engine.frozen={text}"], {}).settings.engine.frozen is value
    assert load_settings(None, (), {"STREAMLEARN_ENGINE__FROZEN": text}).settings.engine.frozen is value


def test_values_in_a_file_must_have_the_right_type(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[snapshot]\ninterval_seconds = 5\n[http]\nport = 80\n")
    settings = load_settings(file, (), {}).settings
    assert (settings.snapshot.interval_seconds, settings.http.port) == (5.0, 80)
    for text in ('[http]\nport = "80"\n', "[http]\nport = true\n", "[http]\nenabled = 1\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"http\.(port|enabled) from .*Input should be a valid"):
            load_settings(file, (), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kafka]\n\ngroup_id = \n", "line 3"),
        ("[kafk]\n", "did you mean 'kafka'"),
        ("port = 1\n", "did you mean 'port'"),
        ("[http]\nprot = 1\n", "did you mean 'http.port'"),
    ],
)
def test_an_invalid_file_is_reported_with_its_name_and_the_fault(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        load_settings(file, (), {})
    assert str(file) in str(raised.value)
    assert message in str(raised.value)


def test_a_missing_file_is_reported_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml", (), {})


def test_the_published_method_has_an_alias() -> None:
    for flags in (["learner.preset=ihomer"], ["learner.preset=paper"]):
        assert load_settings(None, flags).settings.learner.preset == "paper"


def test_all_faults_are_reported_at_once_one_text_each(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'port = 1\n[kafk]\n[kafka]\nsession_timeout_ms = "soon"\n[kafka.security]\nuser = "u"\nca_file = "ca"\n'
        '[http]\nprot = 1\nport = 70000\n[learner]\nrule = "best"\nseed = 7\n'
        '[topics]\nlabels = "instances"\nevents = "instances"\n[snapshot]\nkeep = 2\n'
    )
    environment = {"STREAMLEARN_HTTP__ENABLED": "maybe", "STREAMLEARN_KAFKA_GROUP_ID": "g"}
    with pytest.raises(SettingsError) as raised:
        load_settings(file, ["limits", "learner.preset=huge", "http.token=secret"], environment)
    faults = raised.value.faults
    for part in (
        "'port' is outside a section",
        "no section [kafk]",
        "kafka.session_timeout_ms from",
        "kafka.security.user is set",
        "kafka.security.ca_file is set",
        "no setting 'http.prot'",
        "http.port from",
        "'best' is not a rule",
        "http.enabled from environment STREAMLEARN_HTTP__ENABLED",
        "did you mean 'STREAMLEARN_KAFKA__GROUP_ID'",
        "--set 'limits'",
        "learner.preset from --set learner.preset",
        "http.token is a secret",
        "topics.labels and topics.instances are both",
        "topics.events and topics.instances are both",
        "topics.events and topics.labels are both",
    ):
        assert sum(part in fault for fault in faults) == 1, part
    assert len(faults) == 16
    assert str(raised.value) == "; ".join(faults)
    assert "secret" not in str(raised.value).replace("is a secret", "")


def test_a_fault_that_comes_from_another_one_is_left_out() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(None, ["topics.predictions=", "topics.events=predictions"], {})
    assert [fault.partition(":")[0] for fault in raised.value.faults] == [
        "topics.predictions from --set topics.predictions"
    ]


def test_a_byte_order_mark_before_the_file_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('\ufeff[kafka]\r\ngroup_id = "file"\r\n', encoding="utf-8", newline="")
    assert load_settings(file, (), {}).settings.kafka.group_id == "file"
