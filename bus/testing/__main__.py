"""`python -m bus.testing`: run a command together with real servers, or show which servers it would get."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

from bus.parent import SUPERVISOR, stop_with_supervisor
from bus.testing.servers import postgres, rabbitmq
from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.parent_watch import ParentWatch
from bus.testing.servers.progress import report
from bus.testing.servers.server import Server

USAGE = """\
usage: python -m bus.testing run SERVER [SERVER] -- COMMAND [ARGUMENT...]
       python -m bus.testing check
SERVER is rabbitmq (sets BUS_URL for COMMAND) or postgres (creates two empty databases
and sets AUTH_DATABASE_URL and CATALOG_DATABASE_URL).
"""
USAGE_ERROR = 2
NOT_RUN = 127  # as shells exit for a command that they cannot run
SERVERS = ("rabbitmq", "postgres")
DATABASE_VARIABLES = ("AUTH_DATABASE_URL", "CATALOG_DATABASE_URL")


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit code."""
    signal.signal(signal.SIGTERM, _leave)
    stop_with_supervisor(os.environ)
    try:
        if list(arguments) == ["check"]:
            return _check()
        if arguments and arguments[0] == "run" and "--" in arguments:
            split = arguments.index("--")
            servers, command = arguments[1:split], arguments[split + 1 :]
            if command and servers and set(servers) <= set(SERVERS):
                return _run(servers, command)
    except ProvisioningFailed as missing:
        report(str(missing))
        return 1
    sys.stderr.write(USAGE)
    return USAGE_ERROR


def _check() -> int:
    for provisioner in (rabbitmq.PROVISIONER, postgres.PROVISIONER):
        sys.stdout.write(f"{provisioner.plan()}\n")
    return 0


def _run(servers: Sequence[str], command: Sequence[str]) -> int:
    environment = {name: value for name, value in os.environ.items() if name != SUPERVISOR}  # which is not its parent
    with contextlib.ExitStack() as running:
        if "rabbitmq" in servers:
            broker = running.enter_context(rabbitmq.find_broker())
            _announce("RabbitMQ", broker)
            environment["BUS_URL"] = broker.url
        if "postgres" in servers:
            database = running.enter_context(postgres.find_database())
            _announce("PostgreSQL", database)
            environment |= {variable: database.fresh_database() for variable in DATABASE_VARIABLES}
        return _run_command(command, environment)


def _announce(name: str, server: Server) -> None:
    report(f"{name} {server.version}, {server.kind}, {server.url}")


def _run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end and forward SIGINT and SIGTERM; return its exit code as a shell would."""
    # In another process group than ours: Ctrl-C in a terminal then reaches it once, forwarded by us, and not twice.
    parent_watch = ParentWatch(signal.SIGTERM)
    try:
        child = subprocess.Popen(command, env=environment, process_group=parent_watch.group)
    except OSError as failure:
        parent_watch.release()
        report(f"{command[0]} cannot be run: {failure.strerror}")
        return NOT_RUN

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    code = child.wait()  # no deadline: the command decides how long it runs
    parent_watch.release()
    return code if code >= 0 else 128 - code


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """End by an exception, so that the servers started for the command are closed as well."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
