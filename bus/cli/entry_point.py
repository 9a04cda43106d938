"""The group `bus` with all commands, and `main`, which turns errors into sentences and exit codes."""

import os
import sys
from importlib import import_module

import click

from bus import failpoints
from bus.cli.groups import LazyGroup
from bus.contract.installed import named_services

# The exit code of errors that a restart of the process fixes.
RESTART = 1


class Commands(LazyGroup):
    """All commands of `bus`, in the order in which help lists them."""

    sentences = {
        "run": "Run the front ends and workers of SERVICES, or of all services.",
        "web": "Run the HTTP front end of SERVICE.",
        "worker": "Run workers of SERVICE.",
        "migrate": "Migrate the databases of SERVICES, or of all services, to the latest revision.",
        "doctor": "Check all that SERVICES, or all services, need: settings, ports, databases, broker and workers.",
        "call": "Call OPERATION and print its reply.",
        "send": "Send a command to the broker and print its message id, without waiting for the reply.",
        "request": "Show what became of one request, by its message id, idempotency key or trace id.",
        "operations": "List all operations with their fields and routes.",
        "topology": "List the queues and their arguments.",
        "contract": "Print or check the documents of a contract.",
        "events": "Show events, and send them again.",
        "dead-letters": "Inspect dead letters, send them again, or discard them.",
        "sealing-keys": "Manage the keys that passwords and other secrets are sealed to.",
        "database-keys": "Manage the keys that secrets in databases are encrypted with.",
        "new": "Write the skeleton of a new service: a package that runs, with tests that pass.",
    }
    # Services may have commands of their own, under their name: `bus auth grant ada admin`. Help does not list them, as
    # it would have to import all services.
    modules = {"web": "run", "worker": "run", "migrate": "run", "send": "call", "topology": "operations"}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for an unknown name."""
        return super().get_command(ctx, cmd_name) or self._of_service(cmd_name)

    def _of_service(self, name: str) -> click.Command | None:
        for entry_point in named_services().select(name=name):
            module, _, attribute = entry_point.load().commands.partition(":")
            command = getattr(import_module(module), attribute) if module else None
            return command if isinstance(command, click.Command) else None
        return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="errand-bus")
def bus() -> None:
    """Run and use message-driven services.

    Environment variables configure it: BUS_URL, BIND, DATA_DIR, LOG_LEVEL, and for each service NAME_PORT,
    NAME_DATABASE_URL and NAME_REQUIRE_SEALED. Each may be given as NAME_FILE instead, the name of a file.
    """


def main() -> None:
    """The entry point. An error that the operator can fix is one sentence on stderr, without a stack trace."""
    _open_standard_streams()
    failpoints.arm(os.environ)
    try:
        _run()
    except (click.Abort, KeyboardInterrupt):  # wherever Ctrl-C meets us, also while an error is looked at
        sys.exit(130)


def _run() -> None:
    try:
        bus(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        raise
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        click.echo(f"bus: {error}", err=True)
        sys.exit(code)


def _open_standard_streams() -> None:
    """Open those that whoever started this process has closed, for nothing to be read or written there.

    Python has None in their place then. And the next file or socket would get such a number, which libraries in C, and
    processes that this one starts, take for a standard stream all the same.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _exit_code(error: Exception) -> int | None:
    """The exit code for an error that is one sentence; None for a defect. Imported here, as few runs need them."""
    from bus.contract.problems import ProblemError
    from bus.database.connecting import DatabaseUnusable
    from bus.database.encryption import DatabaseKeyError
    from bus.database.migrate import NotMigrated
    from bus.database.trouble import DatabaseUnavailable
    from bus.messaging.transport import TransportFailure
    from bus.runtime.ports import PortTaken
    from bus.runtime.settings import SettingsError
    from bus.runtime.supervisor import NEEDS_OPERATOR
    from bus.worker.background.watchdog import NotConsuming
    from bus.worker.worker import HandlerHung

    for_operator = (SettingsError, TransportFailure, NotMigrated, PortTaken, DatabaseUnavailable, DatabaseUnusable)
    if isinstance(error, (*for_operator, DatabaseKeyError, ProblemError)):
        return NEEDS_OPERATOR
    return RESTART if isinstance(error, (HandlerHung, NotConsuming)) else None
