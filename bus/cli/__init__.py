"""The command line: `bus`."""

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
from bus.worker.background.watchdog import NotConsuming
from bus.worker.worker import HandlerHung

# What a person must mend before it is any use to start again. The supervisor relies on the code.
NEEDS_A_PERSON = 2
# What another start mends.
START_AGAIN = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="errand-bus")
def bus() -> None:
    """Run and use message-driven services.

    The environment says where things are: BUS_URL, BIND, DATA_DIR, LOG_LEVEL, and for each service
    NAME_PORT, NAME_DATABASE_URL and NAME_REQUIRE_SEALED; each also as NAME_FILE.
    """


COMMANDS = (
    *(run, web, worker, migrate, doctor, call, send, operations, topology, contract),
    *(events, dead_letters, sealing_keys, new),
)
for command in COMMANDS:
    bus.add_command(command)


def main() -> None:
    """The entry point. What an operator can mend is one clear sentence, never a stack trace."""
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
        sys.exit(NEEDS_A_PERSON)
    except (HandlerHung, NotConsuming) as failed:
        click.echo(f"bus: {failed}", err=True)
        sys.exit(START_AGAIN)
