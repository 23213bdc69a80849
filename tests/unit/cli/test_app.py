"""The command line: help without heavy imports, version, and exit statuses of errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamlearn.cli.app import COMMANDS, load_command

HEAVY = ("numba", "river", "pandas", "kafka", "matplotlib")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlearn", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    program = (
        "import sys\nfrom streamlearn.cli.app import main\n"
        f"sys.argv = ['streamlearn', *{command!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
        f"modules = {{name: 'streamlearn.cli.' + name.replace('-', '_') for name in {list(COMMANDS)!r}}}\n"
        "print('COMMANDS', [name for name in modules if modules[name] in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["HEAVY []", f"COMMANDS {command}"]
    assert "Usage" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert " ".join(command.help.partition("\n\n")[0].split()) == COMMANDS[name]
    listed = " ".join(_run("--help").stdout.split())
    assert f"{name} {COMMANDS[name][:30]}" in listed


def test_version() -> None:
    from streamlearn._version import MODEL_VERSION, __version__

    done = _run("--version")
    assert (done.returncode, done.stdout) == (0, f"streamlearn {__version__}, model version {MODEL_VERSION}\n")


def test_a_wrong_setting_gives_one_line_and_status_2() -> None:
    done = _run("config", "check", "--set", "kafka.grup_id=x")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "kafka.group_id" in done.stderr


def test_each_wrong_setting_gives_a_line() -> None:
    done = _run("config", "check", "--set", "kafka.grup_id=x", "--set", "http.port=-1")
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["streamlearn", "streamlearn"]
    assert "kafka.group_id" in done.stderr
    assert "http.port" in done.stderr


def test_an_unknown_command_gives_status_2() -> None:
    done = _run("demmo")
    assert done.returncode == 2
    assert "'demmo'" in done.stderr
    assert "Did you mean 'demo'" in done.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("UsageError('wrong')", 2),
        ("StopError('gone\\nwrong')", 1),
        ("NameTakenError('another one')", 3),
        ("NotDrainedError(['task 0', 'task 1'])", 4),
        ("OSError(28, 'disk full')", 1),
    ],
)
def test_errors_exit_with_their_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: str, status: int
) -> None:
    from streamlearn import errors
    from streamlearn.cli import app as module

    def fail(**_: object) -> None:
        raise eval(error, {**vars(errors)})

    monkeypatch.setattr(module, "app", fail)
    with pytest.raises(SystemExit) as exit_:
        module.main()
    assert exit_.value.code == status
    assert capsys.readouterr().err.count("\n") == 1


def test_an_interrupt_exits_with_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from streamlearn.cli import app as module
    from streamlearn.settings import loading

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load_settings", interrupt)
    monkeypatch.setattr(sys, "argv", ["streamlearn", "config", "check"])
    with pytest.raises(SystemExit) as exit_:
        module.main()
    assert exit_.value.code == 130
    assert capsys.readouterr().err == "streamlearn: interrupted\n"
