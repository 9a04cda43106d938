"""What callers are told while something is away: a quick no, and nothing that happens behind their backs."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from support.example_service import create_tables, make_service, words_in
from support.long_timeouts import LONG_TIMEOUT_SECONDS, use_long_timeouts
from support.plain_publisher import PlainPublisher

from bus.client.client import Client
from bus.contract.codec import encode
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.database.tables import dead_letter
from bus.messaging.connect import transport_for
from bus.messaging.message import Message
from bus.messaging.topology import QUARANTINE_DELIVERY_LIMIT, SUSPECT_DELIVERIES, Limits, queues_of
from bus.messaging.transport import TransportOptions
from bus.testing.servers.postgres import find_database
from bus.testing.servers.rabbitmq import find_broker
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog import web
from catalog.contract import CreateProduct
from catalog.handlers import catalog

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
# So soon comes a no, on a machine that does not stand still meanwhile.
AT_ONCE_SECONDS = 1.0
# And on one that does; whoever waits for an answer in these tests waits for LONG_TIMEOUT_SECONDS.
QUICKLY_SECONDS = 10.0
# What is said of a broker before its end is noticed.
NOT_YET = ("outcome-unknown", "no-worker")

Run = Callable[[str, str], FlaskClient]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the catalog's worker and its front end in threads of this process."""
    use_long_timeouts(monkeypatch)
    with ExitStack() as stack:

        def run_catalog(bus_url: str, database_url: str) -> FlaskClient:
            database = Database(database_url)
            migrate(database, "catalog.migrations")
            worker = Worker(catalog, transport_for(bus_url, "worker"), database)
            worker.start()
            client = Client(bus_url)
            stack.callback(database.close)
            stack.callback(worker.stop, 10)
            stack.callback(client.close)
            http = web.create_app(client).test_client()
            wait_until(
                lambda: http.get("/health/ready").status_code == 200, LONG_TIMEOUT_SECONDS, "the catalog is ready"
            )
            return http

        yield run_catalog


def _is_quick_no(http: FlaskClient, code: str) -> bool:
    started = time.monotonic()
    answer = http.post("/products", json=LAMP, headers={"Prefer": f"wait={LONG_TIMEOUT_SECONDS:.0f}"})
    assert time.monotonic() - started < QUICKLY_SECONDS
    if answer.status_code != 503:
        return False
    assert answer.headers["Retry-After"]
    assert answer.json["code"] in (code, *NOT_YET)
    return bool(answer.json["code"] == code)


def _seconds_of_the_quickest_no(http: FlaskClient, code: str) -> float:
    def seconds() -> float:
        started = time.monotonic()
        assert _is_quick_no(http, code)
        return time.monotonic() - started

    return min(seconds() for _ in range(3))


def _seconds_of_a_no(url: str, code: str) -> float:
    """How long a new client takes to say no."""
    with Client(url) as client:
        http = web.create_app(client).test_client()
        seconds = _seconds_of_the_quickest_no(http, code)
        assert http.get("/health/ready").status_code == 503
        assert http.get("/health/live").status_code == 200
    return seconds


def test_without_a_worker_the_answer_is_503_at_once(memory_url: str) -> None:
    transport = transport_for(memory_url, "declares")
    transport.open(TransportOptions(declares=queues_of(catalog.operations.values())))
    assert _seconds_of_a_no(memory_url, "no-worker") < AT_ONCE_SECONDS
    transport.close(5)


def test_a_service_that_never_ran_is_503_at_once(memory_url: str) -> None:
    assert _seconds_of_a_no(memory_url, "no-such-queue") < AT_ONCE_SECONDS


def test_while_the_database_is_away_the_answer_is_503_and_afterwards_it_works_again(
    memory_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than it takes to stop a server.
    monkeypatch.setattr("bus.client.liveness.FRESH_SECONDS", LONG_TIMEOUT_SECONDS)
    with find_database() as server:
        http = run(memory_url, server.fresh_database())
        assert http.post("/products", json=LAMP).status_code == 201
        server.stop(immediate=True)
        # What was heard of the worker is trusted for a moment: a command sent in it is kept, and done later.
        kept = http.post("/products", json=LAMP)
        assert kept.status_code == 202
        assert _seconds_of_the_quickest_no(http, "database-away") < AT_ONCE_SECONDS
        assert http.get("/health/ready").status_code == 503
        assert http.get("/products/1").status_code == 503
        server.start()
        # The ping may be answered before the worker has noticed: then a command is kept once more, for a moment.
        statuses = [201, 202]
        wait_until(lambda: _try_to_create(http, statuses) == 201, LONG_TIMEOUT_SECONDS, "creating works again")
        assert _products(http) == len([status for status in statuses if status < 300])
        assert http.get(kept.headers["Location"]).json["status"] == 201


def test_a_command_on_its_way_when_the_database_goes_is_done_once_when_it_is_back(broker_url: str, run: Run) -> None:
    with find_database() as server:
        http = run(broker_url, server.fresh_database())
        server.stop(immediate=True)
        with Client(broker_url) as client:
            client.send(_create(), message_id="on-its-way")
            client.send(_create(), message_id="on-its-way")
        server.start()
        wait_until(lambda: _state(http, "on-its-way") == "done", LONG_TIMEOUT_SECONDS, "the command is done")
        assert _products(http) == 1


def test_while_the_broker_is_away_the_answer_is_503_and_afterwards_it_works_again(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with find_broker() as broker:
        http = run(broker.url, f"sqlite:///{tmp_path}/catalog.db")
        # A broker that is coming up may lose a ping; then the next one is soon enough.
        monkeypatch.setattr("bus.client.liveness.PING_SECONDS", 2.0)
        assert http.post("/products", json=LAMP).status_code == 201
        broker.stop()
        wait_until(lambda: _is_quick_no(http, "broker-away"), LONG_TIMEOUT_SECONDS, "creating is refused")
        assert _seconds_of_the_quickest_no(http, "broker-away") < AT_ONCE_SECONDS
        broker.start()
        wait_until(
            lambda: http.post("/products", json=LAMP).status_code == 201, LONG_TIMEOUT_SECONDS, "creating works again"
        )


def test_a_command_whose_answer_is_late_is_accepted_and_its_outcome_can_be_read(
    memory_url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = run(memory_url, f"sqlite:///{tmp_path}/catalog.db")
    with monkeypatch.context() as hurry:
        hurry.setattr(
            "bus.client.liveness.FRESH_SECONDS", LONG_TIMEOUT_SECONDS
        )  # in no time, nobody could be asked either
        hurry.setattr("bus.http.relaying.ANSWER_SECONDS", 0.0)
        late = http.post("/products", json=LAMP, headers={"Idempotency-Key": "late"})
    assert late.status_code == 202
    assert late.headers["Location"] == "/operations/late"
    wait_until(lambda: _state(http, "late") == "done", LONG_TIMEOUT_SECONDS, "the command is done")
    assert http.get("/operations/late").json["status"] == 201


def test_after_a_late_answer_a_command_is_accepted_at_once_until_one_is_answered_in_time(
    memory_url: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a backlog of other commands; a caller may insist on waiting."""
    http = run(memory_url, f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setattr("bus.client.backlogs.TELLING_SECONDS", 0.0)  # so no late answer is in time
    monkeypatch.setattr("bus.client.backlogs.PROBE_SECONDS", LONG_TIMEOUT_SECONDS)
    with monkeypatch.context() as hurry:
        hurry.setattr("bus.client.liveness.FRESH_SECONDS", LONG_TIMEOUT_SECONDS)
        hurry.setattr("bus.http.relaying.ANSWER_SECONDS", 0.0)
        assert http.post("/products", json=LAMP).status_code == 202
    assert http.post("/products", json=LAMP).status_code == 202
    assert http.post("/products", json=LAMP, headers={"Prefer": "wait=30"}).status_code == 201
    assert http.post("/products", json=LAMP).status_code == 201


def test_a_command_is_carried_out_however_late_a_worker_gets_to_it(memory_url: str, tmp_path: Path, run: Run) -> None:
    http = run(memory_url, f"sqlite:///{tmp_path}/catalog.db")
    sender = transport_for(memory_url, "sender")
    sender.open(TransportOptions())
    sender.publish(Message(queue="catalog.create_product", body=encode(_create()), expiration_ms=0))
    wait_until(lambda: _products(http) == 1, LONG_TIMEOUT_SECONDS, "the product is there")
    sender.close(5)


def test_commands_that_the_broker_takes_back_while_the_database_is_away_are_done_once(
    broker_url: str, tmp_path: Path
) -> None:
    """As it does with what is not acknowledged for its `consumer_timeout`, once for each time the outage is longer.

    One of them is in the quarantine already: a worker had died of it, or of its neighbour.
    """
    file = tmp_path / "example.db"
    database = Database(f"sqlite:///{file}")
    migrate(database, "catalog.migrations")
    create_tables(database)
    transport = transport_for(broker_url, "worker")
    worker = Worker(make_service(), transport, database, Limits(retry_seconds=(1,)))
    worker.start()
    assert transport.wait_until_ready(LONG_TIMEOUT_SECONDS)
    publisher = PlainPublisher(broker_url)
    file.rename(tmp_path / "away")
    publisher.send("example.keep", {"word": "kept"}, message_id="1", delivery_mode=2)
    publisher.send(
        "example.quarantine",
        {"word": "suspect"},
        message_id="2",
        headers={"origin-queue": "example.keep"},
        delivery_mode=2,
    )

    def holds(queue: str) -> bool:
        return any(view.unacknowledged for view in transport.view(LONG_TIMEOUT_SECONDS) if view.queue == queue)

    wait_until(lambda: holds("example.quarantine"), LONG_TIMEOUT_SECONDS, "the worker has the suspect")
    for _ in range(2 * (SUSPECT_DELIVERIES + QUARANTINE_DELIVERY_LIMIT + 1)):
        wait_until(lambda: holds("example.keep"), LONG_TIMEOUT_SECONDS, "the worker has the command")
        transport.reconnect_consumer("as after a consumer timeout")
        assert transport.wait_until_ready(LONG_TIMEOUT_SECONDS)
    (tmp_path / "away").rename(file)
    wait_until(lambda: len(words_in(database)) == 2, LONG_TIMEOUT_SECONDS, "both are done")
    wait_until(lambda: not _waiting(publisher), LONG_TIMEOUT_SECONDS, "nothing waits any more")
    worker.stop(LONG_TIMEOUT_SECONDS)
    assert sorted(words_in(database)) == ["kept", "suspect"]
    with database.reading() as transaction:
        assert transaction.connection.execute(select(dead_letter)).all() == []
    database.close()
    publisher.close()


def _waiting(publisher: PlainPublisher) -> list[str]:
    names = [queue.name for queue in make_service().queues(Limits(retry_seconds=(1,)))]
    return [name for name in names if publisher.channel.queue_declare(name, passive=True).method.message_count]


def _try_to_create(http: FlaskClient, statuses: list[int]) -> int:
    statuses.append(http.post("/products", json=LAMP).status_code)
    return statuses[-1]


def _products(http: FlaskClient) -> int:
    answer = http.get("/products")
    assert answer.status_code == 200, answer.json
    return len(answer.json["products"])


def _state(http: FlaskClient, message_id: str) -> str:
    answer = http.get(f"/operations/{message_id}")
    return str(answer.json.get("state", answer.status_code))


def _create() -> CreateProduct:
    return CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3)
