"""``produce`` says when a stream has nothing to write."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.errors import UsageError
from tests.integration.service import Service


def test_a_stream_without_instances_or_labels_is_not_written_in_silence(service: Service, tmp_path: Path) -> None:
    service.make_topics(labels=True)
    path = tmp_path / "rows.jsonl"
    command = ["produce", str(path), "--topic", service.topic("instances"), "--bootstrap", service.broker]
    path.write_text("\n")
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith(f"{path} has no instances: nothing was written")
    path.write_text('{"x": {"a": 1}}\n')
    done = CliRunner().invoke(app, [*command, "--labels-topic", service.topic("labels")])
    assert done.exit_code == 0, done.output
    labels = service.topic("labels")
    assert f"warning: no instance of {path} has labels: nothing was written to {labels}\n" in done.stderr
    assert len(service.read("instances")) == 1
