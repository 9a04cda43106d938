"""The group `bus`: help in whole sentences, and few imports for what needs few."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from bus.cli import bus
from bus.cli.entry_point import Commands, main
from bus.cli.groups import first_sentence

HEAVY = ("sqlalchemy", "flask", "pika", "alembic", "kombu", "prometheus_client", "structlog", "joserfc", "argon2")


@pytest.mark.parametrize("name", Commands.sentences)
def test_the_sentence_in_the_list_is_the_first_of_the_commands_help(name: str) -> None:
    command = bus.get_command(click.Context(bus), name)
    assert command is not None
    assert (command.name, first_sentence(command)) == (name, Commands.sentences[name])


@pytest.mark.parametrize("arguments", [[], ["dead-letters"], ["events"], ["contract"], ["sealing-keys"]])
def test_help_has_whole_sentences(arguments: list[str]) -> None:
    output = CliRunner().invoke(bus, [*arguments, "--help"], terminal_width=80).output
    _, _, commands = output.partition("Commands:\n")
    assert commands
    assert "..." not in commands
    assert "…" not in commands


def test_an_unknown_command_is_a_mistake_of_the_caller() -> None:
    result = CliRunner().invoke(bus, ["dead-leters"])
    assert (result.exit_code, "No such command" in result.output) == (2, True)


def _imported(program: str) -> list[str]:
    """Which of the heavy packages a program imports."""
    listing = f"{program}\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1].split()


def test_help_imports_nothing_heavy() -> None:
    assert _imported("from bus.cli import bus\nbus(['--help'], standalone_mode=False)") == []


def test_dead_letters_import_no_service_and_no_alembic() -> None:
    for module in ("dead_letters", "dead_letters_replay"):
        assert not {"alembic", "flask", "pika", "joserfc", "argon2"} & {*_imported(f"import bus.cli.{module}")}


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_a_closed_standard_stream_ends_no_command(closed: list[int]) -> None:
    close = f"import os, sys; [os.close(each) for each in {closed}]; os.execv(sys.executable, sys.argv[1:])"
    doctor = [sys.executable, "-m", "bus.cli", "doctor", "auth", "--skip=ports", "--skip=database"]
    run = subprocess.run(
        [sys.executable, "-c", close, *doctor], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert ("No problems found." in run.stdout) == (1 not in closed)


def test_ctrl_c_shows_no_trace_while_an_error_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_error: Exception) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bus.cli.entry_point._exit_code", interrupt)
    monkeypatch.setattr("sys.argv", ["bus", "topology", "--check"])
    monkeypatch.setenv("BUS_URL", "rabbit")
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capfd.readouterr().err) == (130, "")
