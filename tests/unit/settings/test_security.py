"""TLS, SASL and secrets: valid combinations, sources of secrets, and that secrets are never printed."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.cli.app import main
from streamlearn.errors import UsageError
from streamlearn.kafka.client_options import connection_options
from streamlearn.settings.fields import NO_SECRET
from streamlearn.settings.loading import load_settings
from streamlearn.settings.secrets import read_secret

SECRET = "k7-open-sesame"
PASSWORD = "STREAMLEARN_KAFKA__SECURITY__PASSWORD"
SASL = ["kafka.security.protocol=sasl_plaintext", "kafka.security.user=anna"]


@pytest.mark.parametrize(
    ("overrides", "environment", "message"),
    [
        (["kafka.security.ca_file=x"], {}, "kafka.security.protocol = plaintext does not use it: choose ssl"),
        (["kafka.security.protocol=ssl", "kafka.security.user=a"], {}, "does not use it: choose sasl_ssl"),
        ([], {PASSWORD: SECRET}, "kafka.security.password is set, but kafka.security.protocol = plaintext"),
        (SASL, {}, "STREAMLEARN_KAFKA__SECURITY__PASSWORD in the environment"),
        (SASL[:1], {PASSWORD: SECRET}, "needs kafka.security.user"),
        ([*SASL, "kafka.security.password_file=f"], {PASSWORD: SECRET}, "are both set; keep one"),
        (["kafka.security.protocol=ssl", "kafka.security.key_file=f"], {}, "without kafka.security.certificate_file"),
        (["kafka.security.protocol=tls"], {}, "kafka.security.protocol from --set kafka.security.protocol"),
        (["kafka.security.mechanism=MD5"], {}, "kafka.security.mechanism from"),
        (["kafka.security.pasword=x"], {}, "did you mean 'kafka.security.password'"),
        ([f"kafka.security.password={SECRET}"], {}, "it into a file and set kafka.security.password_file"),
        ([f"kafka.security.password:{SECRET}"], {}, "--set 'kafka.security.password': write it as section.key=value"),
        ([f"http.token={SECRET}"], {}, "set http.token_file, or set STREAMLEARN_HTTP__TOKEN in the environment"),
        (["http.token_file=f"], {"STREAMLEARN_HTTP__TOKEN": SECRET}, "http.token and http.token_file are both set"),
        (["http.key_file=f"], {}, "without http.certificate_file"),
        ([], {"STREAMLEARN_KAFKA_SECURITY_PASSWORD": SECRET}, f"did you mean '{PASSWORD}'"),
    ],
)
def test_invalid_combinations_are_refused_without_showing_the_secret(
    overrides: Sequence[str], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        load_settings(None, overrides, environment)
    assert message in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_settings_file_has_a_security_table_but_no_password(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[kafka]\ngroup_id = "g"\n[kafka.security]\nprotocol = "ssl"\nca_file = "ca.pem"\n')
    settings, origins = load_settings(file, (), {})
    assert (settings.kafka.group_id, settings.kafka.security.ca_file) == ("g", "ca.pem")
    assert origins["kafka.security.ca_file"] == str(file)
    file.write_text(f'[kafka.security]\npassword = "{SECRET}"\n')
    with pytest.raises(UsageError, match=r"password_file") as raised:
        load_settings(file, (), {})
    assert SECRET not in str(raised.value)
    file.write_text('[kafka.securty]\nprotocol = "ssl"\n')
    with pytest.raises(UsageError, match=r"no section \[kafka.securty\]; did you mean 'kafka.security'"):
        load_settings(file, (), {})


def test_a_password_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = load_settings(None, [*SASL, f"kafka.security.password_file={file}"], {}).settings
    with pytest.raises(UsageError, match=r"kafka.security.password_file = .*No such file"):
        connection_options(settings)
    for data, message in ((b"", "one line"), (b"\xff", "UTF-8"), (b"a\nb", "one line"), (b"x" * 70_000, "one line")):
        file.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            connection_options(settings)
    file.write_text(f"{SECRET}\n")
    options = connection_options(settings)
    assert options["sasl_plain_password"] == SECRET
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_PLAINTEXT", "SCRAM-SHA-512")
    assert SECRET not in repr(options)


def test_neither_client_logs_nor_settings_show_the_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = load_settings(None, [*SASL, "kafka.bootstrap_servers=127.0.0.1:1"], {PASSWORD: SECRET}).settings
    options = {**connection_options(settings), "bootstrap_timeout_ms": 50}
    for client in (KafkaAdminClient, KafkaConsumer, KafkaProducer):
        with pytest.raises(kafka_errors.KafkaError) as raised:
            client(**options)
        assert SECRET not in repr(raised.value)
    assert "127.0.0.1" in caplog.text
    assert SECRET not in caplog.text
    for text in (repr(settings), str(settings), f"{settings.kafka.security}", settings.model_dump_json()):
        assert "anna" in text
        assert SECRET not in text


def test_no_command_prints_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret_file = tmp_path / "token"
    secret_file.write_text(SECRET + "2")
    monkeypatch.setenv(PASSWORD, SECRET)
    monkeypatch.setenv("STREAMLEARN_HTTP__TOKEN_FILE", str(secret_file))
    security = [argument for name in SASL for argument in ("--set", name)]
    outputs = {}
    for command, status in (
        (["config", "show", *security], 0),
        (["config", "show", "--json", *security], 0),
        (["config", "check", *security, "--set", "kafka.security.ca_file=x"], 2),
        (["config", "check", *security, "--set", f"kafka.security.password {SECRET}"], 2),
        (["config", "check"], 2),
    ):
        monkeypatch.setattr(sys, "argv", ["streamlearn", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        outputs[tuple(command)] = captured.out + captured.err
        assert (ended.value.code or 0) == status, captured.err
        assert SECRET not in outputs[tuple(command)]
    rows = {row["name"]: row for row in json.loads(outputs["config", "show", "--json", *security])}
    row = rows["kafka.security.password"]
    assert (row["value"], row["origin"]) == ("**********", f"environment {PASSWORD}")
    assert rows["kafka.security.key_password"]["value"] == ""


def test_a_byte_order_mark_before_a_secret_is_no_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"\ufeff{SECRET}\r\n", encoding="utf-8", newline="")
    assert read_secret(NO_SECRET, str(file), "http.token") == SECRET
