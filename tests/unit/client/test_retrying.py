"""Pings, and a client that repeats calls until a service answers, on the embedded broker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.example_service import Count, Counted, Keep, Kept, WordRefused, make_service, words_in

from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.contract.problems import Unavailable
from bus.database.engine import Database
from bus.messaging.connect import transport_for
from bus.messaging.topology import queues_of
from bus.messaging.transport import TransportOptions
from bus.worker.worker import Worker

LONG_SECONDS = 60.0


Start = Callable[[], None]


@pytest.fixture
def start(memory_url: str, database: Database) -> Iterator[Start]:
    """A function that starts a worker. Its queues exist before."""
    service = make_service()
    declaring = transport_for(memory_url, "declares")
    declaring.open(TransportOptions(declares=queues_of(service.operations.values())))
    with ExitStack() as stack:
        stack.callback(declaring.close, 5)

        def start_worker() -> None:
            worker = Worker(service, transport_for(memory_url, "worker"), database)
            worker.start()
            stack.callback(worker.stop, 10)

        yield start_worker


def test_a_ping_is_answered_by_the_worker_and_its_database(memory_url: str, start: Start) -> None:
    start()
    with Client(memory_url) as client:
        pong = client.ping("example", timeout=LONG_SECONDS)
    assert (pong.service, pong.database) == ("example", "sqlite")


@pytest.mark.parametrize("kind", [Client, RetryingClient])
def test_a_ping_waits_for_its_timeout(memory_url: str, start: Start, kind: type[Client]) -> None:
    with kind(memory_url, name="test") as client:
        started = time.monotonic()
        with pytest.raises(Unavailable) as silence:
            client.ping("example", timeout=1.5)
        assert 1.5 <= time.monotonic() - started < LONG_SECONDS / 2
    assert silence.value.problem.code == "no-worker"


def test_a_retrying_client_calls_until_there_is_a_worker_and_the_effect_comes_once(
    memory_url: str, start: Start, database: Database
) -> None:
    starting = threading.Timer(1.5, start)  # two pings of 0.6 s later
    with RetryingClient(memory_url, name="test") as client:
        starting.start()
        assert isinstance(client.call(Keep(word="late"), message_id="late"), Kept)
        assert isinstance(client.call(Keep(word="late"), message_id="late"), Kept)
        assert client.call(Count(word="late")) == Counted(count=1)
    assert words_in(database) == ["late"]


def test_a_retrying_client_does_not_repeat_a_refused_call(memory_url: str, start: Start) -> None:
    start()
    with RetryingClient(memory_url, name="test") as client, pytest.raises(WordRefused):
        client.call(Count(word="refuse"))


def test_a_retrying_client_stops_when_it_is_over(memory_url: str, start: Start) -> None:
    over = threading.Event()
    threading.Timer(1.0, over.set).start()
    with RetryingClient(memory_url, name="test", is_over=over.is_set) as client:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            client.call(Count(word="x"))
        assert time.monotonic() - started < LONG_SECONDS / 2
    assert over.is_set()


def test_a_retrying_client_gives_up_after_its_time(memory_url: str, start: Start) -> None:
    with RetryingClient(memory_url, name="test", seconds=0.5) as client, pytest.raises(Unavailable):
        client.call(Count(word="x"))
