"""The command line: `bus`."""

import sys

import click

from bus.cli.calling import call, send
from bus.cli.making import new
from bus.cli.running import migrate, run, web, worker
from bus.cli.telling import operations, topology
from bus.database import DatabaseAway
from bus.migrating import NotMigrated
from bus.problem import Unavailable
from bus.serving import PortTaken
from bus.settings import SettingsError
from bus.transport import TransportFailure

# What a person must mend before it is any use to start again. The supervisor relies on the code.
NEEDS_A_PERSON = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="errand")
def bus() -> None:
    """Run and use message-driven services.

    The environment says where things are: BUS_URL, BIND, DATA_DIR, LOG_LEVEL, and for each service
    NAME_PORT and NAME_DATABASE_URL; each also as NAME_FILE.
    """


for command in (run, web, worker, migrate, call, send, operations, topology, new):
    bus.add_command(command)


def main() -> None:
    """The entry point. What an operator can mend is one clear sentence, never a stack trace."""
    try:
        bus(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (SettingsError, TransportFailure, NotMigrated, PortTaken, DatabaseAway, Unavailable) as error:
        click.echo(f"bus: {error}", err=True)
        sys.exit(NEEDS_A_PERSON)
