"""The systemd unit of the documentation restarts a worker after a failure, and only where that can help."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from streamlearn.cli.statuses import FAILURE_STATUS, NAME_TAKEN_STATUS, NOT_DRAINED_STATUS, USAGE_STATUS

DEPLOY = Path(__file__).parents[2] / "docs" / "operations" / "deploy.md"


def test_the_unit_leaves_a_worker_alone_that_a_restart_cannot_help() -> None:
    (text,) = re.findall(r"^```ini\n(.*?)^```$", DEPLOY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    unit = configparser.RawConfigParser(comment_prefixes=("#",), interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    service = unit["Service"]
    assert service["Restart"] == "on-failure"
    prevented = {int(status) for status in service["RestartPreventExitStatus"].split()}
    assert prevented == {USAGE_STATUS, NAME_TAKEN_STATUS}
    assert not {FAILURE_STATUS, NOT_DRAINED_STATUS} & prevented
    assert "streamlearn run --config" in service["ExecStart"]
    assert "worker.name=%i" in service["ExecStart"]
