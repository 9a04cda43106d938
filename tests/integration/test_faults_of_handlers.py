"""What becomes of commands whose handler fails, hangs, or kills its worker: on a real broker, with real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.dead_letters import DeadLetterReader, letters_in, wait_for_letters
from support.example_service import Broken, Counted, Granted, Keep, Kept, create_tables, words_in
from support.long_timeouts import use_long_timeouts
from support.plain_publisher import PlainPublisher

from bus.client.client import Client
from bus.contract.operations import Command, Query, TransientCommand
from bus.contract.problems import FieldError
from bus.contract.refusals import Refused
from bus.database.encryption import key_of_this_process
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import Limits
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.waiting import wait_until
from bus.worker.worker import HandlerHung, Worker

PATIENCE_SECONDS = 30.0
# A worker that was killed starts anew five times or more, and each has all its imports before it.
KILLS_SECONDS = 180.0
SOON = Limits(retry_seconds=(1, 2), handler_seconds=0.5)

Start = Callable[[Service], Worker]


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/words.db")
    migrate(database, "catalog.migrations")
    create_tables(database)
    yield database
    database.close()


@pytest.fixture(params=["memory", "rabbitmq"])
def bus_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("memory_url" if request.param == "memory" else "broker_url"))


@pytest.fixture
def start(bus_url: str, words: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    use_long_timeouts(monkeypatch)
    workers = []

    def start_worker(service: Service) -> Worker:
        transport = transport_for(bus_url, "worker")
        workers.append(Worker(service, transport, words, SOON))
        workers[-1].start()
        assert transport.wait_until_ready(PATIENCE_SECONDS)
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.stop(2)


def _failing(times: int) -> tuple[Service, list[float]]:
    """A service whose handler fails so many times, each after it has written."""
    service, tries = Service("example"), []

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        tries.append(time.monotonic())
        row_id = work.connection.exec_driver_sql("INSERT INTO words (word) VALUES ('a') RETURNING id").scalar_one()
        if len(tries) <= times:
            raise Broken("not yet")
        return Kept(id=row_id, word=command.word)

    return service, tries


def test_a_command_whose_handler_fails_for_a_while_is_done_once_and_its_caller_told(
    bus_url: str, start: Start, words: Database
) -> None:
    service, tries = _failing(10)
    start(service)
    with Client(bus_url) as client:
        kept = client.call(Keep(word="a"), timeout=PATIENCE_SECONDS)
    assert kept.word == "a"
    assert words_in(words) == ["a"]
    assert len(tries) == 11
    assert tries[-1] - tries[0] > 2.5  # both pauses


def test_a_command_that_always_fails_is_given_up_and_its_caller_told_once(
    bus_url: str, start: Start, words: Database
) -> None:
    service, tries = _failing(1000)
    start(service)
    with Client(bus_url) as client:
        request = Keep(word="a")
        with pytest.raises(Exception, match="The service failed"):
            client.call(request, timeout=PATIENCE_SECONDS, message_id="1")
        assert client.late_replies == 0
        given_up_after = len(tries)
        assert given_up_after == 12  # three times (the batch, and three tries alone)
    assert words_in(words) == []


class _Checked:
    """A contract with a defect: it has no rule for the word "bad"."""

    word: str

    def violations(self) -> list[FieldError]:
        return {"good": []}[self.word]  # type: ignore[no-any-return]


class KeepChecked(_Checked, Command[Kept], name="example.keep_checked"):
    word: str


class CountChecked(_Checked, Query[Counted], name="example.count_checked"):
    word: str


class GrantChecked(_Checked, TransientCommand[Granted], name="example.grant_checked"):
    word: str


def test_a_contract_that_fails_is_a_fault_of_its_service_and_harms_no_other_message(
    bus_url: str, start: Start, words: Database
) -> None:
    service = Service("example")

    @service.handles(KeepChecked)
    def keep_checked(command: KeepChecked, work: Work) -> Kept:
        work.connection.exec_driver_sql("INSERT INTO words (word) VALUES ('good')")
        return Kept(id=1, word=command.word)

    @service.handles(CountChecked)
    def count_checked(query: CountChecked, work: Work) -> Counted:
        return Counted(count=0)

    @service.handles(GrantChecked)
    def grant_checked(command: GrantChecked, work: Work) -> Granted:
        return Granted(id=1, token="")

    worker = start(service)
    with Client(bus_url) as client:
        for place in range(3):
            client.send(KeepChecked(word="good"), message_id=f"good-{place}")
            client.send(KeepChecked(word="bad"), message_id=f"bad-{place}")
        for request in (CountChecked(word="bad"), GrantChecked(word="bad"), KeepChecked(word="bad")):
            with pytest.raises(Refused, match="The service failed"):
                client.call(request, timeout=PATIENCE_SECONDS, message_id=f"asked-{request.operation_kind}")
        assert client.call(CountChecked(word="good"), timeout=PATIENCE_SECONDS).count == 0
    letters = wait_for_letters(words, 4)
    assert {each.message_id for each in letters} == {"bad-0", "bad-1", "bad-2", "asked-command"}
    assert {(each.reason, each.error_class, each.attempts) for each in letters} == {("fault", "KeyError", 3)}
    assert "in violations" in DeadLetterReader(words).next().traceback
    assert words_in(words) == ["good"] * 3
    assert worker.failure is None


def test_a_handler_that_hangs_is_a_failure_of_its_worker(bus_url: str, start: Start) -> None:
    service, over = Service("example"), threading.Event()

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        over.wait(2 * PATIENCE_SECONDS)
        return Kept(id=0, word=command.word)

    worker = start(service)
    with Client(bus_url) as client:
        client.send(Keep(word="a"))
        wait_until(lambda: isinstance(worker.failure, HandlerHung), PATIENCE_SECONDS, "the worker says so")
    assert "example.keep" in str(worker.failure)
    over.set()


KILLER = '''
"""A worker of the example service; the word "die" kills it."""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.example_service import make_service, Keep
from bus.messaging.connect import transport_for
from bus.database.encryption import DatabaseKeys
from bus.database.engine import Database
from bus.messaging.topology import Limits
from bus.worker.worker import Worker
from support import example_service
behave = example_service._behave
def kill(text):
    behave(text)
    if text.startswith("die"):
        with open({deaths!r}, "a") as deaths:
            deaths.write(text + "\\n")
        os.kill(os.getpid(), signal.SIGKILL)
example_service._behave = kill
database = Database({database!r}, keys=DatabaseKeys(text={key!r}))
worker = Worker(make_service(), transport_for({url!r}, "worker"), database, Limits(retry_seconds=(1,)))
worker.start()
signal.sigwait([signal.SIGTERM])
worker.stop(10)
'''


@pytest.mark.parametrize("operation", ["example.keep", "example.count"])
def test_a_message_that_kills_its_worker_is_set_apart_and_takes_no_neighbour_with_it(
    broker_url: str, words: Database, tmp_path: Path, operation: str
) -> None:
    deaths = tmp_path / "deaths"
    deaths.touch()
    program = KILLER.format(
        tests=str(Path(__file__).parents[1]),
        deaths=str(deaths),
        url=broker_url,
        database=str(words._engine.url),
        key=key_of_this_process(),
    )
    processes = [_python(program) for _ in range(2)]
    publisher = PlainPublisher(broker_url)

    def others_live_on() -> bool:
        for place, process in enumerate(processes):
            if process.poll() is not None:
                processes[place] = _python(program)
        return len(words_in(words)) == 200

    try:
        wait_until(lambda: _is_consumed(publisher, "example.keep"), KILLS_SECONDS, "somebody consumes")
        for number in range(200):
            publisher.send("example.keep", {"word": f"w{number}"}, message_id=f"w{number}")
            if number == 50:
                publisher.send(operation, {"word": "die"}, message_id="killer")
        wait_until(others_live_on, KILLS_SECONDS, "all the others are done")
        wait_until(
            lambda: not others_live_on() or deaths.read_text().count("die") >= 4, KILLS_SECONDS, "the killer kills"
        )
        letters = DeadLetterReader(words)
        wait_until(lambda: others_live_on() and letters.has_more(), KILLS_SECONDS, "it is a dead letter")
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_SECONDS)
        publisher.close()
    letter = letters.next()
    assert (letter.operation, letter.message_id, letter.reason) == (operation, "killer", "delivery-limit")
    assert {each.message_id for each in letters_in(words)} == {"killer"}
    # Two deaths at most before it is set apart, and three there. A worker that is killed in the moment between the
    # copy and its acknowledgement leaves another copy.
    assert deaths.read_text().count("die") <= 10
    assert sorted(words_in(words)) == sorted(f"w{number}" for number in range(200))


def _python(program: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", program], env=os.environ.copy(), stdout=subprocess.DEVNULL)


def _is_consumed(publisher: PlainPublisher, queue: str) -> bool:
    """A queue is seen before its declaration has ended, and refuses what comes by then."""
    channel = publisher.channel.connection.channel()
    try:
        return bool(channel.queue_declare(queue, passive=True).method.consumer_count)
    except Exception:  # not there yet
        return False
    finally:
        if channel.is_open:
            channel.close()
