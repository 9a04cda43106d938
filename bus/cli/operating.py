"""What commands share that ask services as an operator: who asks, and how far a replay is."""

import getpass
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import click

from bus.cli.broker import in_words, reachable_broker_of
from bus.client.client import ANSWER_SECONDS, Client
from bus.client.replay import TAKE_SECONDS, TAKES_LONG, Replay, ReplayStopped
from bus.contract.installed import named_services
from bus.contract.operations import Operation
from bus.contract.operator.operations import operator_operations
from bus.contract.problems import Invalid, ProblemError
from bus.contract.refusals import Refusal, Refused
from bus.runtime.settings import Settings, read_settings
from bus.security.operators import Operator, stored_token
from bus.telemetry.logs import configure_logs

SERVICE = click.argument("service")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
REASON = click.option("--reason", default="", help="Why; it is recorded with the action.")


class Operating:
    """Calls the operator's operations of services, for the person who runs this command."""

    def __init__(self, client: Client, operator: Operator) -> None:
        self.client, self.operator = client, operator

    def ask(self, service: str, operation: type[Operation[Any]], /, **fields: Any) -> Any:
        """The reply to an operation of `bus.contract.operator`. Raises click.UsageError for a refusal."""
        request = operator_operations(service)[operation](**fields)
        seconds = TAKE_SECONDS if operation in TAKES_LONG else ANSWER_SECONDS
        try:
            return self.client.call(request, timeout=seconds, token=self.operator)
        except (Refusal, Refused, Invalid) as refused:
            raise click.UsageError(in_words(refused.problem)) from None


@contextmanager
def operating(service: str | None = None) -> Iterator[Operating]:
    """Ask services as an operator, on any machine with BUS_URL and the operator token; `service` must be installed.

    Raises click.UsageError, SettingsError and BrokerUnreachable.
    """
    names = installed_names()
    if service is not None and service not in names:
        raise click.UsageError(f"There is no service {service!r}. Installed: {', '.join(names)}.")
    settings = read_settings(os.environ, {})
    url, operator = reachable_broker_of(settings), Operator(_person(), operator_token_of(settings))
    configure_logs("error")
    with Client(url, name="bus-operator", identities=settings.identities) as client:
        yield Operating(client, operator)


def operator_token_of(settings: Settings) -> str:
    """The operator token of this installation. Raises click.UsageError."""
    token = settings.operator_token or stored_token(settings.data_dir, make=False)
    if not token:
        raise click.UsageError(
            f"There is no operator token. Set BUS_OPERATOR_TOKEN to that of the workers, or DATA_DIR to their folder; "
            f"{settings.data_dir} has none."
        )
    return token


def installed_names() -> list[str]:
    """The names of all installed services."""
    return sorted(entry_point.name for entry_point in named_services())


def show_progress(replay: Replay, resume_command: str, *, quiet: bool) -> int:
    """Show the progress, and how to resume if it is interrupted; returns how many messages were sent."""
    run = replay.run()
    sent, left = next(run)
    is_complete, at_least = False, ""
    try:
        hidden = quiet or not sys.stderr.isatty()
        with closing(run), click.progressbar(length=left, file=sys.stderr, hidden=hidden) as bar:
            for progress in run:
                bar.update(progress.sent - sent)
                sent, left = progress
        is_complete = True
    except ReplayStopped as stopped:
        raise click.ClickException(str(stopped)) from None
    finally:
        if not is_complete:
            with suppress(ProblemError):  # the service may have sent what it was not waited for
                now = replay.progress()
                sent, left = now.sent - replay.sent_before, now.action.left
                at_least = "at least " if now.action.is_more else ""
            click.echo(f"{sent} sent, {at_least}{left} left. Resume with: {resume_command}", err=True)
    return sent


def _person() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
