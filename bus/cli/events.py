"""`bus events`: show events as they are published, and send stored ones again."""

import os
import sys
from datetime import datetime

import click
import msgspec

from bus.cli.broker import broker_of
from bus.cli.common import application_and_settings, chosen_applications, migrated_database, settings_for
from bus.cli.groups import SentenceGroup
from bus.cli.times import Time
from bus.client.event_stream import event_stream
from bus.contract.codec import parse
from bus.contract.problems import Invalid
from bus.database.engine import Database
from bus.database.outbox_replay import EventFilter, ReplayStopped, count, replay
from bus.database.past_events import PastEvents
from bus.messaging.connect import connected
from bus.messaging.message import Message
from bus.runtime.process import stop_on_signals
from bus.telemetry.logs import configure_logs

# A routing key in AMQP is a short string (AMQP 0-9-1, section 4.2.5.3).
MAX_PATTERN_BYTES = 255


@click.group(cls=SentenceGroup)
def events() -> None:
    """Show events, and send them again."""


@events.command()
@click.option(
    "--name", "pattern", default="#", help="Only events with such names: * stands for one word, # for any words."
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
def tail(pattern: str, as_json: bool) -> None:
    """Show events as they are published, until Ctrl-C: time received, name, id and body."""
    if len(pattern.encode()) > MAX_PATTERN_BYTES:
        raise click.UsageError(f"--name is too long: a pattern has at most {MAX_PATTERN_BYTES} bytes.")
    url = broker_of(settings_for(chosen_applications([])))
    configure_logs("info")
    stopping = stop_on_signals()
    try:
        with event_stream(url, pattern) as stream:
            click.echo(f"Events {pattern} on {stream.broker}. Ctrl-C stops it.", err=True)
            for message, received_at in stream.events(stopping.is_set):
                click.echo((json_of if as_json else line_of)(message, received_at))
    except BrokenPipeError:
        # The reader has closed the pipe. Python would still try to flush the rest, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@events.command("replay")
@click.argument("service")
@click.option("--since", type=Time(), required=True, help="From this time on: ISO 8601 in UTC, or an age such as 2h.")
@click.option("--until", type=Time(), help="Before this time.")
@click.option("--to", "queue", required=True, help="The listener's queue, such as feed.events.")
@click.option("--name", help="Only events with this name.")
@click.option("--rate", type=click.IntRange(1, 100_000), help="At most this many a second.")
@click.option("--dry-run", is_flag=True, help="Print how many events would be sent, and send nothing.")
def replay_command(
    service: str,
    since: datetime,
    until: datetime | None,
    queue: str,
    name: str | None,
    rate: int | None,
    dry_run: bool,
) -> None:
    """Send events of SERVICE to one queue again, in their order and with their ids.

    A listener handles each id once. Events are kept for KEEP_DAYS, unless the service has a history of them.
    """
    application, settings = application_and_settings(service)
    url, chosen, past = broker_of(settings), EventFilter(since, until, name), application.service.past
    configure_logs("warning")
    with migrated_database(application, settings) as database:
        if dry_run:
            click.echo(f"{count(database, chosen, past)} events would be sent to {queue}.")
        else:
            click.echo(f"{_replay(url, database, chosen, queue, rate, past)} events were sent to {queue}.")


def _replay(
    url: str, database: Database, chosen: EventFilter, queue: str, rate: int | None, past: PastEvents | None
) -> int:
    try:
        with connected(url, "bus-events-replay") as transport:
            return replay(database, transport, chosen, queue, rate, past)
    except ReplayStopped as stopped:
        raise click.ClickException(str(stopped)) from None


def line_of(message: Message, received_at: datetime) -> str:
    """The time it was received (UTC), its name, its id and its body, without control characters.

    Anyone may publish anything, and a terminal would obey control characters.
    """
    body = message.body.decode("utf-8", "replace")
    parts = (_moment(received_at), message.type or "-", message.message_id or "-", body)
    return "  ".join(_printable(part) for part in parts)


def json_of(message: Message, received_at: datetime) -> str:
    """The same as JSON; a body that is not JSON becomes a string."""
    line = {
        "received_at": _moment(received_at),
        "name": message.type,
        "id": message.message_id,
        "body": _json_or_text(message.body),
    }
    return msgspec.json.encode(line).decode()


def _json_or_text(body: bytes) -> msgspec.Raw | str:
    try:
        parse(body)
    except Invalid:
        return body.decode("utf-8", "replace")
    return msgspec.Raw(b" ".join(body.splitlines()))


def _moment(received_at: datetime) -> str:
    return f"{received_at:%Y-%m-%dT%H:%M:%S}.{received_at.microsecond // 1000:03}Z"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " if each == "\n" else "\ufffd" for each in text)
