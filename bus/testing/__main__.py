"""The command line: run a command with real parts beside it, or see which ones it would get."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import NoReturn

from bus.testing.servers import postgres, rabbitmq
from bus.testing.servers.leash import Leash
from bus.testing.servers.notice import notice
from bus.testing.servers.part import Part
from bus.testing.servers.unavailable import Unavailable

USAGE = """\
usage: python -m bus.testing run PART [PART] -- COMMAND [ARGUMENT...]
       python -m bus.testing check
PART is rabbitmq (COMMAND finds it in BUS_URL) or postgres (two empty databases, in
AUTH_DATABASE_URL and CATALOG_DATABASE_URL).
"""
USAGE_ERROR = 2
NOT_RUN = 127  # as shells answer for a command that they cannot run
PARTS = ("rabbitmq", "postgres")
DATABASE_VARIABLES = ("AUTH_DATABASE_URL", "CATALOG_DATABASE_URL")


def main(arguments: Sequence[str]) -> int:
    """Carry out the command line; answer the exit code."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        if list(arguments) == ["check"]:
            return _check()
        if arguments and arguments[0] == "run" and "--" in arguments:
            split = arguments.index("--")
            parts, command = arguments[1:split], arguments[split + 1 :]
            if command and parts and set(parts) <= set(PARTS):
                return _run(parts, command)
    except Unavailable as missing:
        notice(str(missing))
        return 1
    sys.stderr.write(USAGE)
    return USAGE_ERROR


def _check() -> int:
    for recipe in (rabbitmq.RECIPE, postgres.RECIPE):
        sys.stdout.write(f"{recipe.plan()}\n")
    return 0


def _run(parts: Sequence[str], command: Sequence[str]) -> int:
    environment = dict(os.environ)
    with contextlib.ExitStack() as open_parts:
        if "rabbitmq" in parts:
            broker = open_parts.enter_context(rabbitmq.find_broker())
            _announce("RabbitMQ", broker)
            environment["BUS_URL"] = broker.url
        if "postgres" in parts:
            database = open_parts.enter_context(postgres.find_database())
            _announce("PostgreSQL", database)
            environment |= {variable: database.fresh_database() for variable in DATABASE_VARIABLES}
        return _run_command(command, environment)


def _announce(name: str, part: Part) -> None:
    notice(f"{name} {part.version}, {part.kind}, {part.url}")


def _run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end, pass on the signals meant to end it; answer its exit code as a shell would."""
    # A group of its own: Ctrl-C in a terminal then reaches it once, through us, and not twice.
    try:
        child = subprocess.Popen(command, env=environment, process_group=0)
    except OSError as failure:
        notice(f"{command[0]} cannot be run: {failure.strerror}")
        return NOT_RUN
    leash = Leash(child.pid, signal.SIGTERM)

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    code = child.wait()  # no deadline: it runs for as long as its user wants
    leash.release()
    return code if code >= 0 else 128 - code


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """End by an exception, so that what was started before the command is closed as well."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
