"""`bus events`: what is shown, what is sent again, and what is said when it cannot be."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner
from support.event_services import WordAdded

from bus.cli import bus as command
from bus.database import outbox
from bus.database.engine import Database, Outgoing
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.handlers import catalog

START_SECONDS = 60.0
WAIT_SECONDS = 60.0
STOP_SECONDS = 10.0
TOKEN = "the operator token of this installation"


class Tail:
    """`bus events tail` as a process, and the lines it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def shows(self, word: str) -> bool:
        return any(word in line for line in self.lines)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(WAIT_SECONDS)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)


def _environment(broker_url: str) -> dict[str, str]:
    return {**os.environ, "BUS_URL": broker_url, "BUS_OPERATOR_TOKEN": TOKEN}


@contextmanager
def _tail(url: str, *options: str) -> Iterator[Tail]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bus.cli", "events", "tail", *options],
        env=_environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tail = Tail(process)
    try:
        wait_until(lambda: tail.shows("Ctrl-C stops it."), START_SECONDS, "the tail listens")
        yield tail
    finally:
        process.kill()
        process.wait()


def _publish(url: str, name: str, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        properties = pika.BasicProperties(message_id=f"id of {name}", type=name)
        connection.channel().basic_publish("bus.events", name, body, properties)


def test_a_tail_shows_the_events_of_its_pattern_and_ends_well(broker_url: str) -> None:
    with _tail(broker_url, "--name", "emitter.*") as tail:
        _publish(broker_url, "other.told", b"{}")
        _publish(broker_url, "emitter.word_added", b'{"word":"hello"}')
        wait_until(lambda: tail.shows("hello"), WAIT_SECONDS, "the event is shown")
        assert tail.interrupt() == 0
        assert tail.lines[-1].endswith('  emitter.word_added  id of emitter.word_added  {"word":"hello"}\n')
        assert len(tail.lines) == 2


def test_a_tail_as_json_is_one_object_a_line(broker_url: str) -> None:
    with _tail(broker_url, "--json") as tail:
        _publish(broker_url, "emitter.word_added", b'{"word":"hello"}')
        wait_until(lambda: tail.shows("hello"), WAIT_SECONDS, "the event is shown")
        shown = json.loads(tail.lines[-1])
    assert (shown["name"], shown["id"], shown["body"]) == (
        "emitter.word_added",
        "id of emitter.word_added",
        {"word": "hello"},
    )


def test_a_tail_goes_on_after_a_restart_of_the_broker() -> None:
    with find_broker() as broker, _tail(broker.url) as tail:
        broker.stop()
        wait_until(lambda: tail.shows("broker_disconnected"), WAIT_SECONDS, "the loss is logged")
        broker.start()

        def is_shown() -> bool:
            _publish(broker.url, "emitter.word_added", b'{"word":"after"}')
            return tail.shows('"after"')

        wait_until(is_shown, WAIT_SECONDS, "an event is shown")
        assert tail.interrupt() == 0


def test_a_tail_leaves_no_queue_behind(rabbitmq: Broker, broker_url: str) -> None:
    def queues() -> int:
        return rabbitmq.ctl("list_queues", "-q", "-p", broker_url.rpartition("/")[2], "name").count("bus.watch.")

    with _tail(broker_url) as tail:
        assert queues() == 1
        assert tail.interrupt() == 0
    wait_until(lambda: queues() == 0, WAIT_SECONDS, "the queue is gone")


def test_a_tail_ends_well_when_its_reader_has_enough(broker_url: str) -> None:
    script = f"set -o pipefail; {sys.executable} -m bus.cli events tail | head -n 1"
    run = subprocess.Popen(
        ["bash", "-c", script], env=_environment(broker_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def has_ended() -> bool:
        _publish(broker_url, "emitter.word_added", b"{}")
        return run.poll() is not None

    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().exchange_declare("bus.events", "topic", durable=True)
    wait_until(has_ended, START_SECONDS + WAIT_SECONDS, "the tail ends")
    printed, said = run.communicate()
    assert (run.returncode, printed.count("\n")) == (0, 1)
    assert "Traceback" not in said
    assert "Broken pipe" not in said


class Outbox:
    """An outbox of the catalog with three events, its worker, and a queue to send them to."""

    def __init__(self, broker_url: str, database: Database) -> None:
        self._url, self.environment = broker_url, _environment(broker_url)
        with database.transaction() as transaction:
            told = [Outgoing(WordAdded(thing=1, version=version, word="told")) for version in (1, 2, 3)]
            outbox.write(transaction.connection, told)
            rows = outbox.unsent(transaction.connection, 10)
            self.ids = [row.event_id for row in rows]
            outbox.mark_sent(transaction.connection, [row.id for row in rows[:2]])
        with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
            connection.channel().queue_declare("new.events", durable=True)
        transport = transport_for(broker_url, "catalog")
        self.worker = Worker(catalog, transport, database, operator_token=TOKEN)
        self.worker.start()
        assert transport.wait_until_ready(START_SECONDS)

    def replay(self, *options: str) -> tuple[int, str]:
        """Run `bus events replay catalog …` in this process; its exit code and what it printed."""
        run = CliRunner().invoke(command, ["events", "replay", "catalog", *options], env=self.environment)
        return run.exit_code, run.output

    def taken(self) -> list[tuple[pika.BasicProperties, Any]]:
        """What is in the queue."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            found = (channel.basic_get("new.events", auto_ack=True) for _ in range(10))
            return [(properties, json.loads(body)) for method, properties, body in found if method is not None]


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, broker_url: str, tmp_path: Path) -> Iterator[Outbox]:
    """On both kinds of database in turn."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/catalog.db" if sqlite else request.getfixturevalue("database_url")
    database = Database(url)
    migrate(database, "catalog.migrations")
    filled = Outbox(broker_url, database)
    yield filled
    filled.worker.stop(STOP_SECONDS)
    database.close()


def test_a_replay_sends_the_same_events_in_order_straight_to_the_queue(filled: Outbox) -> None:
    assert filled.replay("--since", "1h", "--to", "new.events") == (0, "3 events were sent to new.events.\n")
    taken = filled.taken()
    assert [body["version"] for _, body in taken] == [1, 2, 3]
    assert [properties.message_id for properties, _ in taken] == filled.ids
    assert {(properties.type, properties.delivery_mode) for properties, _ in taken} == {("emitter.word_added", 2)}


def test_a_dry_run_sends_nothing(filled: Outbox) -> None:
    answer = filled.replay("--since", "1h", "--to", "new.events", "--dry-run")
    assert answer == (0, "3 events would be sent to new.events.\n")
    assert filled.taken() == []


def test_a_replay_takes_only_events_of_its_time_and_name(filled: Outbox) -> None:
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    for options in (
        ("--since", tomorrow),
        ("--since", "2d", "--until", "1d"),
        ("--since", "1h", "--name", "emitter.other"),
    ):
        assert filled.replay(*options, "--to", "new.events") == (0, "0 events were sent to new.events.\n")
    options = ("--since", "1h", "--until", tomorrow, "--name", "emitter.word_added")
    assert filled.replay(*options, "--to", "new.events") == (0, "3 events were sent to new.events.\n")


def test_a_replay_with_a_rate_takes_its_time(filled: Outbox) -> None:
    begun = time.monotonic()
    answer = filled.replay("--since", "1h", "--to", "new.events", "--rate", "1")
    assert answer == (0, "3 events were sent to new.events.\n")
    assert time.monotonic() - begun >= 3


def test_a_replay_to_a_queue_that_is_not_there_says_so_and_is_resumed(filled: Outbox) -> None:
    code, printed = filled.replay("--since", "1h", "--to", "later.events", "--reason", "it is new")
    assert (code, "There is no queue later.events: its service has never run" in printed) == (1, True)
    assert "0 sent, 3 left. Resume with: bus events replay catalog --resume 1\n" in printed
    with pika.BlockingConnection(pika.URLParameters(filled.environment["BUS_URL"])) as connection:
        connection.channel().queue_declare("later.events", durable=True)
    assert filled.replay("--resume", "1") == (0, "3 events were sent.\n")
    actions = CliRunner().invoke(command, ["dead-letters", "actions", "catalog"], env=filled.environment).output
    assert "--to later.events  it is new" in actions


def test_a_replay_needs_to_know_what_to_send(filled: Outbox) -> None:
    for options, said in {
        ("--to", "new.events"): "Give --since and --to, or --resume.",
        ("--since", "1h"): "Give --since and --to, or --resume.",
        ("--resume", "1", "--to", "x"): "give only --rate with it",
        ("--resume", "4711"): "There is no such action.",
        ("--since", "1h", "--until", "2h", "--to", "x"): "--until is not later than --since.",
        ("--since", "1h", "--to", "catalog.create_product"): "This queue of the service is for requests.",
    }.items():
        code, printed = filled.replay(*options)
        assert (code, said in printed) == (2, True), printed
    assert filled.taken() == []


@pytest.mark.parametrize("arguments", [("tail",), ("replay", "catalog", "--since", "1h", "--to", "x")])
@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("memory://", 2, "Set BUS_URL to an amqp:// URL."),
        ("amqp://guest:guest@127.0.0.1:1/", 2, "RabbitMQ at 127.0.0.1:1 cannot be reached: Connection refused."),
    ],
)
def test_without_a_broker_one_sentence_says_so(arguments: tuple[str, ...], url: str, code: int, said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bus.cli", "events", *arguments],
        env=_environment(url),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (run.returncode, said in run.stderr, "Traceback" in run.stderr) == (code, True, False), run.stderr
