"""`bus call` and `bus send`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from bus.cli.broker import in_words, reachable_broker_of
from bus.cli.common import chosen_applications, operations_of, settings_for
from bus.client.client import ANSWER_SECONDS, Client
from bus.contract.codec import encode, parse, parse_value
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.problems import Invalid, ProblemError, ReplyTimeout
from bus.contract.text_fields import from_text, structured_fields
from bus.contract.validation import accept
from bus.messaging.replies import status_of
from bus.telemetry.logs import configure_logs

_FIELDS = click.argument("fields", nargs=-1)
_ID = click.option("--id", "message_id", help="The message id; a command is carried out once for each id.")
_SECONDS = click.FloatRange(0.01, 3600)
_TIMEOUT = click.option("--timeout", type=_SECONDS, default=ANSWER_SECONDS, show_default=True, help="Seconds to wait.")
_TOKEN = click.option("--token", help="A bearer token, sent as the authorization header.")


@click.command()
@click.argument("operation")
@_FIELDS
@_ID
@_TIMEOUT
@_TOKEN
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON: status and body, or null for none.")
def call(
    operation: str, fields: Sequence[str], message_id: str | None, timeout: float, token: str | None, as_json: bool
) -> None:
    """Call OPERATION and print its reply.

    FIELDS is one JSON object, `-` for one from standard input, or name=value pairs. A list or an object as a value is
    JSON, as in 'lines=[{"product_id":1}]'. `password=-` asks for a secret field, and `password=@FILE` reads it. Exits
    with 1 if the reply is an error.
    """
    request, client = _prepare(operation, fields)
    with client:
        try:
            reply = client.exchange(type(request), encode(request), timeout=timeout, message_id=message_id, token=token)
            status, body = status_of(reply), reply.body
        except ProblemError as error:
            status, body = error.problem.status, encode(error.problem)
            if isinstance(error, ReplyTimeout) and request.is_durable:
                click.echo(f"Accepted, but not done yet. Its message id is {error.message_id}.", err=True)
    if as_json:
        click.echo(msgspec.json.encode({"status": status, "body": msgspec.Raw(body or b"null")}))
    elif body:
        click.echo(msgspec.json.format(body, indent=2).decode())
    sys.exit(0 if status < 400 else 1)


@click.command()
@click.argument("operation")
@_FIELDS
@_ID
@_TIMEOUT
@_TOKEN
def send(operation: str, fields: Sequence[str], message_id: str | None, timeout: float, token: str | None) -> None:
    """Send a command to the broker and print its message id, without waiting for the reply."""
    request, client = _prepare(operation, fields)
    if not request.is_durable:
        raise click.UsageError(f"{operation} is not kept for later, so it needs its reply. Use `bus call`.")
    with client:
        click.echo(client.send(request, timeout=timeout, message_id=message_id, token=token))


def _prepare(name: str, fields: Sequence[str]) -> tuple[Operation[Any], Client]:
    applications = chosen_applications([])
    settings = settings_for(applications)
    url = reachable_broker_of(settings)
    operations = operations_of(applications)
    if name not in operations:
        raise click.UsageError(f"There is no operation {name!r}. `bus operations` lists them.")
    configure_logs("error")
    return _request(operations[name], fields), Client(url, name="bus-call", identities=settings.identities)


def _request(operation: type[Operation[Any]], fields: Sequence[str]) -> Operation[Any]:
    if fields == ("-",):
        fields = (sys.stdin.read(),)
    try:
        if len(fields) == 1 and fields[0].lstrip().startswith("{"):
            return accept(parse(fields[0].encode()), operation)
        pairs = _pairs(fields)
        pairs |= {name: _secret(name, pairs[name]) for name in secrets_of(operation) if name in pairs}
        written = [name for name in structured_fields(operation) & pairs.keys() if pairs[name].startswith(("[", "{"))]
        structured = {name: _parsed(name, pairs.pop(name)) for name in written}
        return accept(from_text(pairs, operation) | structured, operation)
    except Invalid as invalid:
        raise click.UsageError(in_words(invalid.problem)) from None


def _pairs(fields: Sequence[str]) -> dict[str, str]:
    pairs = [field.partition("=") for field in fields]
    if not all(equals for _, equals, _ in pairs):
        raise click.UsageError("Give the fields as one JSON object or as name=value pairs.")
    return {name: value for name, _, value in pairs}


def _secret(name: str, given: str) -> str:
    """A secret field, which other users of this machine could read on the command line."""
    if given == "-":
        return (
            str(click.prompt(name, hide_input=True, err=True))
            if sys.stdin.isatty()
            else sys.stdin.readline().rstrip("\r\n")
        )
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:  # ValueError: it is not UTF-8
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise click.UsageError(f"{name}: the file after '@' cannot be read: {reason}.") from None


def _parsed(name: str, text: str) -> Any:
    try:
        return parse_value(text.encode())
    except Invalid:
        raise click.UsageError(f"{name}: this is not JSON. Quote it for the shell, as in '{name}=[1, 2]'.") from None
