"""The group `bus` with all commands, and `main`, which turns errors into sentences and exit codes."""

import os
import sys

import click

from bus import failpoints
from bus.cli.call import call, send
from bus.cli.contract import contract
from bus.cli.dead_letters import dead_letters
from bus.cli.doctor import doctor
from bus.cli.events import events
from bus.cli.new import new
from bus.cli.operations import operations, topology
from bus.cli.run import migrate, run, web, worker
from bus.cli.sealing_keys import sealing_keys
from bus.contract.problems import Unavailable
from bus.database.engine import DatabaseUnavailable
from bus.database.migrate import NotMigrated
from bus.dead_letters.actions import ActionUnavailable
from bus.messaging.transport import TransportFailure
from bus.runtime.servers import PortTaken
from bus.runtime.settings import SettingsError
from bus.runtime.supervisor import NEEDS_OPERATOR
from bus.worker.background.watchdog import NotConsuming
from bus.worker.worker import HandlerHung

# The exit code of errors that a restart of the process fixes.
RESTART = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="errand-bus")
def bus() -> None:
    """Run and use message-driven services.

    Environment variables configure it: BUS_URL, BIND, DATA_DIR, LOG_LEVEL, and for each service NAME_PORT,
    NAME_DATABASE_URL and NAME_REQUIRE_SEALED. Each may be given as NAME_FILE instead, the name of a file.
    """


COMMANDS = (
    *(run, web, worker, migrate, doctor, call, send, operations, topology, contract),
    *(events, dead_letters, sealing_keys, new),
)
for command in COMMANDS:
    bus.add_command(command)


def main() -> None:
    """The entry point. An error that the operator can fix is one sentence on stderr, without a stack trace."""
    failpoints.arm(os.environ)
    try:
        bus(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (
        SettingsError,
        TransportFailure,
        NotMigrated,
        PortTaken,
        DatabaseUnavailable,
        ActionUnavailable,
        Unavailable,
    ) as error:
        click.echo(f"bus: {error}", err=True)
        sys.exit(NEEDS_OPERATOR)
    except (HandlerHung, NotConsuming) as failed:
        click.echo(f"bus: {failed}", err=True)
        sys.exit(RESTART)
