"""`bus events`: show events as they are published, and send stored ones again."""

import os
import sys
from datetime import datetime

import click
import msgspec

from bus.cli.broker import broker_of
from bus.cli.common import chosen_applications, settings_for
from bus.cli.groups import SentenceGroup
from bus.cli.operating import REASON, SERVICE, operating, show_progress
from bus.cli.times import Time
from bus.client.event_stream import event_stream
from bus.client.replay import Replay
from bus.contract.codec import parse
from bus.contract.operator.actions import GetAction
from bus.contract.operator.events import MAX_EVENTS, BeginEventReplay, CountEvents, EventCount, EventFilter
from bus.contract.problems import Invalid
from bus.messaging.message import Message
from bus.runtime.process import stop_on_signals
from bus.telemetry.logs import configure_logs

# A routing key in AMQP is a short string (AMQP 0-9-1, section 4.2.5.3).
MAX_PATTERN_BYTES = 255
# Events a second that a replay sends where nothing else is asked for: as many as it can.
MOST_RATE = 100_000


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
@SERVICE
@click.option("--since", type=Time(), help="From this time on: ISO 8601 in UTC, or an age such as 2h.")
@click.option("--until", type=Time(), help="Before this time.")
@click.option("--to", "queue", help="The listener's queue, such as feed.events.")
@click.option("--name", default="", help="Only events with this name.")
@click.option("--rate", type=click.IntRange(1, MOST_RATE), default=MOST_RATE, help="At most this many a second.")
@click.option("--resume", type=click.IntRange(1), metavar="ACTION", help="Continue an interrupted replay.")
@REASON
@click.option("--dry-run", is_flag=True, help="Print how many events would be sent, and send nothing.")
def replay_command(
    service: str,
    since: datetime | None,
    until: datetime | None,
    queue: str | None,
    name: str,
    rate: int,
    resume: int | None,
    reason: str,
    dry_run: bool,
) -> None:
    """Send events of SERVICE to one queue again, in their order and with their ids. A worker of SERVICE sends them.

    A listener handles each id once. Events are kept for KEEP_DAYS, unless the service has a history of them.
    """
    with operating(service) as services:
        if resume is None:
            if since is None or queue is None:
                raise click.UsageError("Give --since and --to, or --resume.")
            if until is not None and until <= since:
                raise click.UsageError("--until is not later than --since.")
            chosen = EventFilter(since=since, until=until, name=name)
            if dry_run:
                found: EventCount = services.ask(service, CountEvents, filter=chosen)
                more = "More than " if found.is_more else ""
                click.echo(f"{more}{min(found.total, MAX_EVENTS)} events would be sent to {queue}.")
                return
            action = services.ask(service, BeginEventReplay, filter=chosen, queue=queue, reason=reason).action
        elif since or until or queue or name or reason or dry_run:
            raise click.UsageError("--resume continues with the events of its action: give only --rate with it.")
        else:
            action = resume
            if services.ask(service, GetAction, action=action).action.kind != "events":
                raise click.UsageError(f"Action {action} sends no events. `bus dead-letters actions` lists them.")
        run = Replay(services.client, services.operator, service, action, rate=rate)
        sent = show_progress(run, f"bus events replay {service} --resume {action}", quiet=False)
    click.echo(f"{sent} events were sent{f' to {queue}' if queue else ''}.")


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
