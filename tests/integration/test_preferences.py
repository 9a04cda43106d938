"""`Prefer` over HTTP: who does not want to wait, or not so long, and what the broker must have said before a 202."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from support import example_service
from support.example_service import Count, Counted, Grant, Granted, Keep, Kept, create_tables, make_service, words_in
from support.long_timeouts import use_long_timeouts
from werkzeug.test import TestResponse

import bus.http.relaying
from bus.client import liveness
from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.http import front_end
from bus.messaging.connect import transport_for
from bus.messaging.topology import DEFAULT_LIMITS, Limits, queue_of
from bus.messaging.transport import TransportOptions
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

WAIT_SECONDS = 60.0
# Far more than an answer takes that waits for nothing, and less than the usual wait, which is half a minute here.
QUICK_SECONDS = 12.0
# For the broker's word, where none comes.
SILENCE_SECONDS = 3.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture(params=["memory", "rabbitmq"])
def bus_url(request: pytest.FixtureRequest) -> str:
    """Both brokers in turn."""
    return str(request.getfixturevalue("memory_url" if request.param == "memory" else "broker_url"))


@contextmanager
def _running(
    service: Service, bus_url: str, database: Database, limits: Limits = DEFAULT_LIMITS
) -> Iterator[FlaskClient]:
    """A worker, and a front end that is ready."""
    with ExitStack() as stack:
        transport = transport_for(bus_url, "worker")
        worker = Worker(service, transport, database, limits)
        worker.start()
        stack.callback(worker.stop, WAIT_SECONDS)
        assert transport.wait_until_ready(WAIT_SECONDS)
        http = _front_end(stack.enter_context(Client(bus_url)))
        wait_until(lambda: http.get("/health/ready").status_code == 200, WAIT_SECONDS, "the service is ready")
        yield http


def _front_end(client: Client) -> FlaskClient:
    return front_end("example", example_service, client).test_client()


@pytest.fixture
def quick(bus_url: str, database: Database) -> Iterator[FlaskClient]:
    with _running(make_service(), bus_url, database) as http:
        yield http


@pytest.fixture
def slow(bus_url: str, database: Database) -> Iterator[tuple[FlaskClient, threading.Event]]:
    """Its handlers wait for the event."""
    service, go_on = Service("example"), threading.Event()

    @service.handles(Keep, threads=2)
    def keep(command: Keep, work: Work) -> Kept:
        go_on.wait(WAIT_SECONDS)
        return Kept(id=1, word=command.word)

    @service.handles(Count, threads=2)
    def count(query: Count, work: Work) -> Counted:
        go_on.wait(WAIT_SECONDS)
        return Counted(count=0)

    @service.handles(Grant)
    def grant(command: Grant, work: Work) -> Granted:
        go_on.wait(WAIT_SECONDS)
        return Granted(id=1, token=command.word)

    with _running(service, bus_url, database) as http:
        yield http, go_on
        go_on.set()


def _keep(http: FlaskClient, prefer: str, key: str | None = None) -> TestResponse:
    headers = {"Prefer": prefer} | ({"Idempotency-Key": key} if key else {})
    return http.post("/words", json={"word": "a"}, headers=headers)


def _is_accepted(response: TestResponse, applied: str) -> None:
    assert response.status_code == 202, response.data
    assert response.headers["Location"].startswith("/operations/")
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Preference-Applied"] == applied
    assert response.json == {"message": "Accepted", "operation": response.headers["Location"]}


def _outcome(http: FlaskClient, path: str) -> Any:
    """The outcome, once it is there."""
    wait_until(lambda: http.get(path).json["state"] == "done", WAIT_SECONDS, "the outcome")  # type: ignore[index]
    return http.get(path).json


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async; x=y, handling=lenient", "respond-async, wait=0"])
def test_who_prefers_not_to_wait_is_told_where_the_outcome_will_be(
    slow: tuple[FlaskClient, threading.Event], prefer: str
) -> None:
    http, go_on = slow
    started = time.monotonic()
    accepted = _keep(http, prefer, "async-1")
    assert time.monotonic() - started < QUICK_SECONDS
    _is_accepted(accepted, "respond-async, wait=0" if "wait" in prefer else "respond-async")
    assert accepted.headers["Location"] == "/operations/async-1"
    assert http.get("/operations/async-1").json["state"] == "pending"  # type: ignore[index]
    go_on.set()
    assert _outcome(http, accepted.headers["Location"]) == {
        "id": "async-1",
        "state": "done",
        "status": 201,
        "reply": {"id": 1, "word": "a"},
    }


def test_however_quick_the_service_is_each_command_is_done_once_and_accepted_unless_its_reply_was_quicker(
    quick: FlaskClient, database: Database
) -> None:
    """A reply that is there before the broker's confirm is the answer."""
    keys = [f"quick-{number}" for number in range(30)]
    for key in keys:
        answer = _keep(quick, "respond-async", key)
        if answer.status_code != 201:
            _is_accepted(answer, "respond-async")
    assert [_outcome(quick, f"/operations/{key}")["status"] for key in keys] == [201] * 30
    assert len(words_in(database)) == 30


def test_a_command_that_may_not_wait_at_all_is_accepted_too(slow: tuple[FlaskClient, threading.Event]) -> None:
    http, go_on = slow
    accepted = _keep(http, "wait=0")
    _is_accepted(accepted, "wait=0")
    go_on.set()
    assert _outcome(http, accepted.headers["Location"])["status"] == 201


def test_an_answer_that_comes_in_the_time_preferred_is_the_answer(quick: FlaskClient) -> None:
    for prefer in ("wait=20", "respond-async, wait=20"):
        answer = _keep(quick, prefer)
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (201, "wait=20")
    answer = quick.get("/words/b", headers={"Prefer": "wait=1000, respond-async"})
    assert (answer.json, answer.headers["Preference-Applied"]) == ({"count": 0}, "wait=30")


@pytest.mark.parametrize("prefer", ["wait=1", "wait=1, respond-async"])
def test_a_command_whose_answer_takes_longer_than_preferred_is_accepted_then(
    slow: tuple[FlaskClient, threading.Event], prefer: str
) -> None:
    http, go_on = slow
    started = time.monotonic()
    accepted = _keep(http, prefer)
    assert 1.0 <= time.monotonic() - started < QUICK_SECONDS
    _is_accepted(accepted, "respond-async, wait=1" if "async" in prefer else "wait=1")
    go_on.set()
    assert _outcome(http, accepted.headers["Location"])["status"] == 201


@pytest.mark.parametrize("prefer", ["wait=0", "wait=1"])
def test_what_is_not_durable_and_takes_longer_than_preferred_is_late(
    slow: tuple[FlaskClient, threading.Event], prefer: str
) -> None:
    http, _ = slow
    headers, started = {"Prefer": f"respond-async, {prefer}", "Idempotency-Key": "one"}, time.monotonic()
    for late in (http.get("/words/a", headers=headers), http.post("/grants", json={"word": "a"}, headers=headers)):
        assert (late.status_code, late.json["code"]) == (504, "answer-late")  # type: ignore[index]
        assert "Location" not in late.headers
        assert late.headers["Preference-Applied"] == prefer
    assert time.monotonic() - started < QUICK_SECONDS


def test_a_transient_command_with_a_key_is_done_each_time_and_its_answer_is_stored_nowhere(quick: FlaskClient) -> None:
    headers = {"Idempotency-Key": "grant-1"}
    answers = [quick.post("/grants", json={"word": "a"}, headers=headers) for _ in range(2)]
    assert [answer.json for answer in answers] == [{"id": 1, "token": "token-1"}, {"id": 2, "token": "token-2"}]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store", "no-store"]
    assert quick.get("/operations/grant-1").json["state"] == "pending"  # type: ignore[index]


def test_a_longer_wait_than_usual_is_waited(
    slow: tuple[FlaskClient, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, go_on = slow
    monkeypatch.setattr(bus.http.relaying, "ANSWER_SECONDS", 0.5)
    threading.Timer(1.5, go_on.set).start()
    assert _keep(http, "wait=15").status_code == 201


def test_two_headers_count_as_one_list(slow: tuple[FlaskClient, threading.Event]) -> None:
    http, _ = slow
    headers = [("Prefer", "return=minimal"), ("Prefer", "respond-async"), ("Prefer", "wait=0")]
    _is_accepted(http.post("/words", json={"word": "a"}, headers=headers), "respond-async, wait=0")


@pytest.mark.parametrize("prefer", ["wait=soon", "respond-async=yes", "unknown", '"'])
def test_what_is_no_preference_changes_nothing(quick: FlaskClient, prefer: str) -> None:
    answer = _keep(quick, prefer)
    assert answer.status_code == 201
    assert "Preference-Applied" not in answer.headers


def test_what_is_not_acceptable_is_refused_whatever_is_preferred(quick: FlaskClient) -> None:
    assert quick.post("/words", json={"word": 5}, headers={"Prefer": "respond-async"}).status_code == 422


# Never accepted before the broker has confirmed it.


def _is_refused(response: TestResponse, code: str) -> None:
    assert (response.status_code, response.json["code"]) == (503, code), response.data  # type: ignore[index]
    assert int(response.headers["Retry-After"]) >= 1
    assert "Location" not in response.headers


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "wait=1"])
def test_a_full_queue_is_unavailable_and_what_was_accepted_is_there(
    bus_url: str, database: Database, prefer: str
) -> None:
    """The worker answers pings, but nobody takes the commands."""
    few = Limits(queue_bound=2)
    declarer = transport_for(bus_url, "declarer")
    declarer.open(TransportOptions(declares=[queue_of(Keep, few)]))
    assert declarer.wait_until_ready(WAIT_SECONDS)
    with _running(Service("example"), bus_url, database, few) as http:
        answers = [_keep(http, prefer) for _ in range(5)]
    declarer.close(WAIT_SECONDS)
    _is_accepted(answers[0], prefer)
    _is_refused(answers[-1], "queue-full")
    accepted = [answer for answer in answers if answer.status_code == 202]
    with _running(make_service(), bus_url, database, few) as http:
        outcomes = [_outcome(http, answer.headers["Location"]) for answer in accepted]
        assert [outcome["status"] for outcome in outcomes] == [201] * len(accepted)
        assert len(words_in(database)) == len(accepted)


@pytest.fixture(scope="module")
def lonely_broker() -> Iterator[Broker]:
    """A broker of the tests below alone, which stop and halt it; each has a vhost of its own."""
    with find_broker() as broker:
        yield broker


@pytest.fixture
def words(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/words.db")
    migrate(database, "catalog.migrations")
    create_tables(database)
    yield database
    database.close()


def test_without_the_broker_nothing_is_accepted(lonely_broker: Broker, words: Database) -> None:
    with _running(make_service(), lonely_broker.fresh_vhost(), words) as http:
        assert _keep(http, "wait=20").status_code == 201
        lonely_broker.stop()

        def is_away() -> bool:
            answer = _keep(http, "respond-async")
            assert answer.status_code == 503
            return bool(answer.json["code"] == "broker-away")  # type: ignore[index]

        wait_until(is_away, WAIT_SECONDS, "the broker is known to be away")
        for prefer in ("respond-async", "wait=0", "wait=1"):
            _is_refused(_keep(http, prefer), "broker-away")
        lonely_broker.start()


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
def test_a_broker_that_takes_a_command_and_says_nothing_leaves_it_unknown_and_the_key_settles_it(
    lonely_broker: Broker, words: Database, monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    with _running(make_service(), lonely_broker.fresh_vhost(), words) as http:
        assert _keep(http, "wait=20").status_code == 201
        with _halted(lonely_broker), monkeypatch.context() as patch:
            patch.setattr(liveness, "FRESH_SECONDS", WAIT_SECONDS)  # heard just now, so that nobody pings first
            patch.setattr(bus.http.relaying, "ANSWER_SECONDS", SILENCE_SECONDS)
            _is_refused(_keep(http, prefer, "unknown-1"), "outcome-unknown")
        wait_until(lambda: http.get("/health/ready").status_code == 200, WAIT_SECONDS, "the service is ready")
        assert _keep(http, "wait=20", "unknown-1").status_code == 201
        assert words_in(words) == ["a", "a"]


@contextmanager
def _halted(broker: Broker) -> Iterator[None]:
    """The kernel takes what is sent to the broker, and the broker does nothing."""
    pids = broker.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
