"""Connected but not consuming: a worker that the broker gives nothing notices it, on a real broker."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest
from faults.proxy import Proxy, port_of, through
from structlog.testing import capture_logs
from support import example_service
from support.example_service import create_tables, make_service
from support.frame_filter import BASIC_CANCEL, BASIC_DELIVER, FrameFilter
from support.plain_publisher import PlainPublisher

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import queues_of
from bus.messaging.transport import QueueView, Transport
from bus.telemetry.metrics import Metrics
from bus.testing.waiting import wait_until
from bus.worker.background import watchdog
from bus.worker.background.watchdog import LOOKS, NotConsuming
from bus.worker.worker import PREFETCH, Worker

START_SECONDS = 60.0
WAIT_SECONDS = 60.0
# As the watchdog looks, but sooner; a disk or a broker that stands still for two looks would be taken for silence.
LOOK_SECONDS = 1.0


class System:
    """A worker of the example service, connected to its broker through a proxy with a frame filter."""

    def __init__(self, url: str, folder: Path, frame_filter: FrameFilter, closing: ExitStack) -> None:
        proxy = Proxy(port_of(url), sieve=frame_filter.for_connection)
        closing.callback(proxy.close)
        database = Database(f"sqlite:///{folder}/example.db")
        closing.callback(database.close)
        migrate(database, "catalog.migrations")
        create_tables(database)
        self.url, self.metrics = url, Metrics()
        self.transport: Transport = transport_for(through(proxy, url), "example")
        self.worker = Worker(make_service(), self.transport, database, metrics=self.metrics)
        self.worker.start()
        closing.callback(self.worker.stop, WAIT_SECONDS)
        assert self.transport.wait_until_ready(START_SECONDS)
        self.publisher = PlainPublisher(url)
        closing.callback(self.publisher.close)

    def lose_queue(self, name: str) -> None:
        """Delete a queue, and declare it again as another worker would."""
        [queue] = [each for each in queues_of(make_service().operations.values()) if each.name == name]
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.queue_delete(name)
            channel.queue_declare(name, durable=True, arguments=queue.arguments())

    def shown(self, name: str) -> str:
        [line] = [line for line in self.metrics.text().decode().splitlines() if line.startswith(name)]
        return line.split()[-1]


Start = Callable[[FrameFilter], System]


@pytest.fixture
def start(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", LOOK_SECONDS)
    with ExitStack() as closing:
        yield lambda frame_filter: System(broker_url, tmp_path, frame_filter, closing)


def test_a_consumer_that_was_cancelled_without_a_word_consumes_anew(start: Start) -> None:
    frame_filter = FrameFilter(BASIC_CANCEL)
    system = start(frame_filter)
    frame_filter.active.set()
    with capture_logs() as logs:
        system.lose_queue("example.count")
        assert system.publisher.ask("example.count", {"word": "a"}).status == 200
    assert frame_filter.dropped == 1
    [told] = [line for line in logs if line["event"] == "not_consuming"]
    assert (told["operation"], told["consumers"]) == ("example.count", 0)
    assert system.shown('bus_consumer_restarts_total{service="example"}') == "1.0"
    wait_until(lambda: not system.worker.why_not_live, WAIT_SECONDS, "it is well again")
    assert system.worker.failure is None


def test_a_worker_that_is_given_nothing_over_any_connection_fails(start: Start) -> None:
    frame_filter = FrameFilter(BASIC_DELIVER)
    system = start(frame_filter)
    frame_filter.active.set()
    for number in range(PREFETCH + 20):
        system.publisher.send("example.keep", {"word": str(number)})
    wait_until(lambda: bool(system.worker.why_not_live), WAIT_SECONDS, "it notices")
    assert "example.keep" in system.worker.why_not_ready
    assert system.shown('bus_consuming{service="example"}') == "0.0"
    wait_until(lambda: system.worker.failure is not None, WAIT_SECONDS, "it gives up")
    assert isinstance(system.worker.failure, NotConsuming)


def test_a_busy_worker_that_has_all_it_can_take_is_left_alone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, looks = threading.Event(), list[Sequence[QueueView]]()
    monkeypatch.setattr(example_service, "_behave", lambda _word: go_on.wait(WAIT_SECONDS))
    system = start(FrameFilter(BASIC_DELIVER))
    view = system.transport.view

    def noted(seconds: float) -> Sequence[QueueView]:
        looks.append(view(seconds))
        return looks[-1]

    monkeypatch.setattr(system.transport, "view", noted)
    with capture_logs() as logs:
        for number in range(3 * PREFETCH):
            system.publisher.send("example.count", {"word": str(number)})
        wait_until(lambda: sum(map(_is_all_taken, looks)) > LOOKS, WAIT_SECONDS, "it is looked at")
        go_on.set()
        wait_until(lambda: _answered(logs) == 3 * PREFETCH, WAIT_SECONDS, "all is done")
        wait_until(lambda: _is_idle(system.transport), WAIT_SECONDS, "nothing is in hand")
    assert not [line for line in logs if line["event"] in ("not_consuming", "connection_restarted")]


def _answered(logs: list[object]) -> int:
    return sum(1 for line in logs if isinstance(line, dict) and line["event"] == "answered")


def _is_all_taken(views: Sequence[QueueView]) -> bool:
    """More waits than may be in hand."""
    return any(view.ready > 0 and view.unacknowledged == view.prefetch for view in views)


def _is_idle(transport: Transport) -> bool:
    """The broker answers for every queue, and each has its consumer."""
    views = transport.view(WAIT_SECONDS)
    return bool(views) and all(view.consumers == 1 and view.unacknowledged == 0 for view in views)
