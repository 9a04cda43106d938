"""What every transport guarantees, and what RabbitMQ guarantees besides."""

import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import pika
import pytest

from bus.messaging.connect import transport_for
from bus.messaging.memory import Embedded
from bus.messaging.message import Delivery, Message
from bus.messaging.rabbitmq import RabbitMQ
from bus.messaging.rabbitmq.queue_counts import QueueCounter
from bus.messaging.topology import EVENTS_EXCHANGE, Queue
from bus.messaging.transport import PublishOutcome, Transport, TransportFailure, TransportOptions
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until

# A quorum queue on a busy machine takes a while to be declared; reconnecting waits a second or so.
READY_SECONDS = 60.0
WAIT_SECONDS = 30.0
# What needs no wait is over long before this, even on a machine that stalls for seconds.
AT_ONCE_SECONDS = 10.0
# How long to check that something does not happen. Such a test always takes it, so it is short.
SILENCE_SECONDS = 0.3


class End:
    """A process's end of the bus: a transport and what it has received."""

    def __init__(self, url: str, **options: Any) -> None:
        self.deliveries: SimpleQueue[Delivery] = SimpleQueue()
        self.replies: SimpleQueue[Message] = SimpleQueue()
        self.replies_lost = threading.Event()
        self.transport: Transport = transport_for(url, "test")
        on_reply = self.replies.put if options.pop("replies", False) else None
        lost = self.replies_lost.set
        self.transport.open(
            TransportOptions(on_delivery=self.deliveries.put, on_reply=on_reply, on_replies_lost=lost, **options)
        )

    def ready(self) -> "End":
        assert self.transport.wait_until_ready(READY_SECONDS)
        return self

    def publish(self, queue: str, body: bytes = b"{}", **properties: Any) -> PublishOutcome:
        outcomes: SimpleQueue[PublishOutcome] = SimpleQueue()
        self.transport.publish(Message(queue=queue, body=body, **properties), outcomes.put)
        return outcomes.get(timeout=WAIT_SECONDS)

    def take(self) -> Delivery:
        return self.deliveries.get(timeout=WAIT_SECONDS)

    def take_bodies(self, count: int) -> list[bytes]:
        return [self.take().message.body for _ in range(count)]

    def nothing_comes(self) -> bool:
        try:
            self.deliveries.get(timeout=SILENCE_SECONDS)
        except Empty:
            return True
        return False


class Opener:
    """Opens ends on one broker and closes them after the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ends: list[End] = []

    def __call__(self, **options: Any) -> End:
        end = End(self.url, **options)
        self._ends.append(end)
        return end.ready()

    def close(self) -> None:
        for end in self._ends:
            end.transport.close(WAIT_SECONDS)


@pytest.fixture(params=["memory", "rabbitmq"])
def open_end(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Every transport in turn."""
    opener = Opener(request.getfixturevalue("memory_url" if request.param == "memory" else "broker_url"))
    yield opener
    opener.close()


@pytest.fixture
def open_on_rabbitmq(broker_url: str) -> Iterator[Opener]:
    opener = Opener(broker_url)
    yield opener
    opener.close()


@pytest.fixture
def queue() -> Queue:
    return _queue("command")


def _queue(kind: str, bound: int = 0) -> Queue:
    return Queue(f"contract.q{uuid.uuid4().hex[:12]}", kind, bound)  # type: ignore[arg-type]


# What every transport guarantees.


@pytest.mark.parametrize("kind", ["command", "query", "quarantine", "events", "dead"])
def test_what_is_published_is_delivered(open_end: Opener, kind: str) -> None:
    queue = _queue(kind)
    end = open_end(declares=[queue], consumes=[queue], prefetch=10)
    assert [end.publish(queue.name, body) for body in (b"1", b"2", b"3")] == [PublishOutcome.CONFIRMED] * 3
    assert end.take_bodies(3) == [b"1", b"2", b"3"]


def test_a_queue_that_was_declared_keeps_what_comes_before_its_consumer(open_end: Opener, queue: Queue) -> None:
    publisher = open_end(declares=[queue])
    assert publisher.publish(queue.name, b"early") is PublishOutcome.CONFIRMED
    assert open_end(declares=[queue], consumes=[queue]).take().message.body == b"early"


FULL = {
    "type": "contract.happened",
    "message_id": "a/b?c",
    "correlation_id": "c" * 255,
    "reply_to": "amq.gen-abc",
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "expiration_ms": 60_000,
    "persistent": True,
    "headers": {"text": "é☂", "number": 201, "large": 2**40, "flag": True, "nested": {"list": [1, "two", None]}},
}


@pytest.mark.parametrize(
    "properties",
    [
        {},
        FULL,
        {"correlation_id": b"\xff\x00\xfe"},
        {"correlation_id": "é"},
        {"expiration_ms": 5000},
        {"persistent": True},
    ],
    ids=["none", "all", "binary correlation id", "accented correlation id", "transient", "persistent"],
)
def test_every_property_and_header_arrives_as_it_was(
    open_end: Opener, queue: Queue, properties: dict[str, Any]
) -> None:
    end = open_end(declares=[queue], consumes=[queue])
    sent = Message(queue=queue.name, body=b'{"a": "\xc3\xa9"}', **properties)
    assert end.publish(sent.queue, sent.body, **properties) is PublishOutcome.CONFIRMED
    assert end.take().message == sent


@pytest.mark.parametrize("body", [b"", b"\x00\xff\xfe not text", b"x" * 300_000], ids=["empty", "binary", "300 KB"])
def test_any_body_arrives_as_it_was(open_end: Opener, queue: Queue, body: bytes) -> None:
    end = open_end(declares=[queue], consumes=[queue])
    assert end.publish(queue.name, body) is PublishOutcome.CONFIRMED
    assert end.take().message.body == body


def test_a_reply_finds_its_way_to_the_reply_address(open_end: Opener) -> None:
    caller, worker = open_end(replies=True), open_end()
    address = caller.transport.reply_address
    assert address is not None
    worker.transport.publish(Message(queue=address, body=b"yes", correlation_id="7", headers={"status": 200}))
    reply = caller.replies.get(timeout=WAIT_SECONDS)
    assert (reply.body, reply.correlation_id, reply.headers["status"]) == (b"yes", "7", 200)


def test_each_transport_has_a_reply_address_of_its_own(open_end: Opener) -> None:
    one, two = (open_end(replies=True).transport.reply_address for _ in range(2))
    assert one is not None
    assert one != two
    assert open_end().transport.reply_address is None


def test_a_reply_to_a_missing_queue_is_dropped_and_blocks_nothing(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue])
    end.transport.publish(Message(queue=f"reply-{uuid.uuid4().hex}", body=b"lost"))
    assert end.publish(queue.name, b"next") is PublishOutcome.CONFIRMED
    assert end.take().message.body == b"next"


def test_a_message_without_a_queue_is_unroutable(open_end: Opener) -> None:
    assert open_end().publish(f"contract.none{uuid.uuid4().hex[:8]}") is PublishOutcome.UNROUTABLE


def test_messages_with_one_id_get_their_own_outcomes(open_end: Opener, queue: Queue) -> None:
    """The broker may settle many at once, and a return names only the id."""
    end, settled = open_end(declares=[queue]), [SimpleQueue[PublishOutcome]() for _ in range(40)]
    for number, outcomes in enumerate(settled):
        name = queue.name if number % 2 else f"{queue.name}.none"
        end.transport.publish(Message(queue=name, body=b"{}", message_id="same"), outcomes.put)
    received = [outcomes.get(timeout=WAIT_SECONDS) for outcomes in settled]
    assert received == [PublishOutcome.UNROUTABLE, PublishOutcome.CONFIRMED] * 20


@pytest.mark.parametrize("kind", ["command", "query"])
def test_a_full_queue_refuses_messages_until_it_is_emptied(open_end: Opener, kind: str) -> None:
    queue = _queue(kind, bound=3)
    publisher = open_end(declares=[queue])
    # A quorum queue notices its length a few messages late.
    taken = 0
    while publisher.publish(queue.name) is PublishOutcome.CONFIRMED:
        taken += 1
        assert taken < 100
    assert taken >= 3
    consumer = open_end(declares=[queue], consumes=[queue], prefetch=100)
    consumer.transport.acknowledge([consumer.take() for _ in range(taken)])
    wait_until(
        lambda: publisher.publish(queue.name) is PublishOutcome.CONFIRMED, WAIT_SECONDS, "the queue accepts messages"
    )


def test_a_full_queue_of_somebody_who_watches_drops_its_oldest_and_refuses_nobody(open_end: Opener) -> None:
    name = uuid.uuid4().hex[:12]
    queue = Queue(f"bus.watch.{name}", "watch", bound=3, topics=(f"{name}.*",))
    end = open_end(declares=[queue], consumes=[queue], prefetch=1)
    end.publish(f"{name}.happened", b"0", exchange=EVENTS_EXCHANGE)
    held = end.take()
    for number in range(1, 7):
        published = end.publish(f"{name}.happened", b"%d" % number, exchange=EVENTS_EXCHANGE)
        assert published is PublishOutcome.CONFIRMED
    seen = []
    for _ in range(3):
        end.transport.acknowledge([held])
        held = end.take()
        seen.append(held.message.body)
    assert seen == [b"4", b"5", b"6"]


def test_no_more_than_the_prefetch_is_unacknowledged(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue], prefetch=2)
    for number in range(5):
        end.publish(queue.name, b"%d" % number)
    first, second = end.take(), end.take()
    assert end.nothing_comes()
    end.transport.acknowledge([first])
    third = end.take()
    assert end.nothing_comes()
    end.transport.acknowledge([second, third])
    assert end.take_bodies(2) == [b"3", b"4"]


def test_each_queue_has_a_prefetch_of_its_own(open_end: Opener, queue: Queue) -> None:
    other = _queue("query")
    end = open_end(declares=[queue, other], consumes=[queue, other], prefetch=1)
    for name in (queue.name, queue.name, other.name, other.name):
        end.publish(name)
    assert {end.take().message.queue, end.take().message.queue} == {queue.name, other.name}
    assert end.nothing_comes()


def test_what_is_acknowledged_is_gone(open_end: Opener, queue: Queue) -> None:
    first = open_end(declares=[queue], consumes=[queue], prefetch=10)
    for body in (b"1", b"2", b"3"):
        first.publish(queue.name, body)
    taken = [first.take() for _ in range(3)]
    first.transport.acknowledge(taken[1:])
    first.transport.acknowledge(taken[:1])
    first.transport.close(WAIT_SECONDS)
    assert open_end(declares=[queue], consumes=[queue], prefetch=10).nothing_comes()


def test_after_stop_consuming_nothing_comes_and_deliveries_can_be_acknowledged(open_end: Opener, queue: Queue) -> None:
    # More than can be published before the deadline: a full prefetch would look like a stopped consumer.
    end = open_end(declares=[queue], consumes=[queue], prefetch=10_000)
    end.publish(queue.name, b"delivered")
    delivery = end.take()
    end.transport.stop_consuming()
    wait_until(lambda: _is_left_alone(end, queue), WAIT_SECONDS, "the consumer is cancelled")
    end.transport.acknowledge([delivery])
    end.transport.close(WAIT_SECONDS)
    next_one = open_end(declares=[queue], consumes=[queue], prefetch=10)
    assert set(next_one.take_bodies(1)) == {b"after"}


def test_many_publishers_at_once_get_one_outcome_each(open_end: Opener, queue: Queue) -> None:
    end, settled = (
        open_end(declares=[queue], consumes=[queue], prefetch=1000),
        SimpleQueue[tuple[int, PublishOutcome]](),
    )

    def publish(number: int) -> None:
        name = queue.name if number % 3 else f"{queue.name}.none"
        message = Message(queue=name, body=b"%d" % number)
        end.transport.publish(message, lambda outcome: settled.put((number, outcome)))

    threads = [
        threading.Thread(target=lambda first=first: [publish(first + n) for n in range(50)])
        for first in range(0, 400, 50)
    ]
    for thread in threads:
        thread.start()
    outcomes = dict(settled.get(timeout=WAIT_SECONDS) for _ in range(400))
    expected = {number: PublishOutcome.CONFIRMED if number % 3 else PublishOutcome.UNROUTABLE for number in range(400)}
    assert outcomes == expected
    assert settled.empty()
    bodies = end.take_bodies(sum(outcome is PublishOutcome.CONFIRMED for outcome in expected.values()))
    assert len(set(bodies)) == len(bodies)


def test_more_than_a_socket_accepts_at_once_arrives_whole_and_in_order(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue], prefetch=10)
    bodies = [b"before", b"large" * 2**21, b"after", b"large again" * 2**20, b"last"]
    for body in bodies:
        end.transport.publish(Message(queue=queue.name, body=body), lambda _outcome: None)
    assert end.take_bodies(len(bodies)) == bodies


def test_of_a_body_no_more_is_delivered_than_the_options_say(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue], prefetch=10, body_bytes=10)
    for body in (b"exactly 10", b"more than 10", b"large" * 2**21, b"less"):
        end.transport.publish(Message(queue=queue.name, body=body), lambda _outcome: None)
    assert end.take_bodies(4) == [b"exactly 10", b"more than ", b"largelarge", b"less"]


def test_close_sends_what_is_waiting_and_waits_for_the_outcomes(open_end: Opener, queue: Queue) -> None:
    """A broker may forget what a quorum queue had not confirmed when its channel is closed."""
    replies = _queue("query")
    publisher = open_end(declares=[queue, replies])
    reader = open_end(declares=[queue, replies], consumes=[queue, replies], prefetch=500)
    settled: SimpleQueue[PublishOutcome] = SimpleQueue()
    for number in range(100):
        publisher.transport.publish(Message(queue=queue.name, body=b"%d" % number), settled.put)
        publisher.transport.publish(Message(queue=replies.name, body=b"r%d" % number))
    publisher.transport.close(WAIT_SECONDS)
    assert [settled.get(timeout=WAIT_SECONDS) for _ in range(100)] == [PublishOutcome.CONFIRMED] * 100
    assert settled.empty()
    assert len(set(reader.take_bodies(200))) == 200


def test_closing_twice_does_no_harm(open_end: Opener) -> None:
    end = open_end(replies=True)
    end.transport.close(WAIT_SECONDS)
    end.transport.close(WAIT_SECONDS)


def test_a_working_transport_has_no_failure_and_shows_no_password(open_end: Opener) -> None:
    end = open_end()
    assert end.transport.failure is None
    assert "guest" not in end.transport.describe()
    assert "@" not in end.transport.describe()


def test_a_message_in_a_retry_queue_comes_to_its_own_queue_after_the_delay(open_end: Opener, queue: Queue) -> None:
    pause = Queue(f"{queue.name}.retry", "retry", delay_seconds=1)
    end = open_end(declares=[queue, pause], consumes=[queue])
    sent_at = time.monotonic()
    assert end.publish(queue.name, b"later", exchange=pause.name, message_id="7") is PublishOutcome.CONFIRMED
    message = end.take().message
    assert time.monotonic() - sent_at >= 0.9
    assert (message.queue, message.body, message.message_id) == (queue.name, b"later", "7")


def test_an_event_comes_to_all_its_listeners_and_to_no_other(open_end: Opener) -> None:
    name = uuid.uuid4().hex[:12]
    one, two, other = (
        Queue(f"contract.{name}{listener}", "events", topics=(topic,))
        for listener, topic in (("a", f"{name}.happened"), ("b", f"{name}.happened"), ("c", f"{name}.ended"))
    )
    end = open_end(declares=[one, two, other], consumes=[one, two, other])
    assert end.publish(f"{name}.happened", b"news", exchange=EVENTS_EXCHANGE) is PublishOutcome.CONFIRMED
    assert {end.take().message.queue, end.take().message.queue} == {one.name, two.name}
    assert end.nothing_comes()


def test_an_event_without_a_listener_is_confirmed(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue])
    assert end.publish("contract.unheard_of", exchange=EVENTS_EXCHANGE) is PublishOutcome.CONFIRMED


def test_a_queue_may_have_a_prefetch_of_its_own(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue], prefetch=10, prefetches={queue.name: 1})
    end.publish(queue.name, b"1")
    end.publish(queue.name, b"2")
    first = end.take()
    assert end.nothing_comes()
    end.transport.acknowledge([first])
    assert end.take().message.body == b"2"


def test_consumers_of_a_queue_are_counted(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue])
    counts: SimpleQueue[int] = SimpleQueue()
    for name, count in ((queue.name, 1), (f"{queue.name}.none", 0), (queue.name, 1)):
        end.transport.count_consumers(name, counts.put)
        assert counts.get(timeout=WAIT_SECONDS) == count


def test_on_stopped_is_called_when_nothing_more_is_delivered(open_end: Opener, queue: Queue) -> None:
    end, stopped = open_end(declares=[queue], consumes=[queue], prefetch=1000), threading.Event()
    for _ in range(100):
        end.publish(queue.name)
    end.transport.stop_consuming(stopped.set)
    assert stopped.wait(WAIT_SECONDS)
    while not end.deliveries.empty():
        end.deliveries.get()
    end.publish(queue.name)
    assert end.nothing_comes()


def test_replies_to_a_missing_queue_are_counted(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue])
    for _ in range(3):
        end.transport.publish(Message(queue=f"reply-{uuid.uuid4().hex}", body=b"lost"))
    wait_until(lambda: end.transport.dropped_replies == 3, WAIT_SECONDS, "they are counted")


# What only RabbitMQ guarantees.


def test_without_a_broker_a_message_is_disconnected_at_once() -> None:
    end = End("amqp://127.0.0.1:1/", replies=True)
    started = time.monotonic()
    assert end.publish("contract.q") is PublishOutcome.DISCONNECTED
    assert end.transport.reply_address is None
    assert not end.transport.wait_until_ready(SILENCE_SECONDS)
    end.transport.close(1)
    assert time.monotonic() - started < AT_ONCE_SECONDS


def test_unacknowledged_deliveries_come_back_when_the_connection_is_lost(
    open_on_rabbitmq: Opener, queue: Queue
) -> None:
    first = open_on_rabbitmq(declares=[queue], consumes=[queue], prefetch=10)
    for body in (b"1", b"2", b"3"):
        first.publish(queue.name, body)
    taken = [first.take() for _ in range(3)]
    assert [delivery.deaths for delivery in taken] == [0, 0, 0]
    first.transport.acknowledge(taken[1:2])
    first.transport.close(WAIT_SECONDS)
    second = open_on_rabbitmq(declares=[queue], consumes=[queue], prefetch=10)
    back = [second.take() for _ in range(2)]
    assert sorted(delivery.message.body for delivery in back) == [b"1", b"3"]
    assert [delivery.deaths for delivery in back] == [1, 1]
    assert second.nothing_comes()


@pytest.mark.parametrize("kind", ["command", "query"])
def test_what_expires_in_its_queue_is_gone(open_on_rabbitmq: Opener, kind: str) -> None:
    queue = _queue(kind)
    publisher = open_on_rabbitmq(declares=[queue])
    publisher.publish(queue.name, b"soon gone", expiration_ms=1)
    publisher.publish(queue.name, b"kept", expiration_ms=60_000)
    wait_until(lambda: _length(open_on_rabbitmq.url, queue) == 1, WAIT_SECONDS, "the first expires")
    assert open_on_rabbitmq(declares=[queue], consumes=[queue], prefetch=10).take().message.body == b"kept"


def test_a_queue_declared_differently_is_a_failure_in_one_sentence(open_on_rabbitmq: Opener, queue: Queue) -> None:
    open_on_rabbitmq(declares=[queue])
    other = End(open_on_rabbitmq.url, declares=[Queue(queue.name, "query")], consumes=[Queue(queue.name, "query")])
    with pytest.raises(TransportFailure, match=r"RabbitMQ refuses our topology: .*PRECONDITION_FAILED") as failure:
        other.transport.wait_until_ready(READY_SECONDS)
    assert queue.name in str(failure.value)
    assert "\n" not in str(failure.value)
    assert str(other.transport.failure) == str(failure.value)
    other.transport.close(WAIT_SECONDS)


def test_a_wrong_password_is_a_failure_in_one_sentence(broker_url: str) -> None:
    scheme, _, rest = broker_url.partition("://")
    end = End(f"{scheme}://nobody:wrong@{rest.rpartition('@')[2]}")
    with pytest.raises(TransportFailure, match="RabbitMQ refuses this user name, password or virtual host"):
        end.transport.wait_until_ready(READY_SECONDS)
    end.transport.close(WAIT_SECONDS)


def test_binary_properties_arrive_as_text_that_no_check_accepts(open_on_rabbitmq: Opener, queue: Queue) -> None:
    end = open_on_rabbitmq(declares=[queue], consumes=[queue])
    binary: Any = b"id\xff\xfe"
    names = ("message_id", "reply_to", "content_type", "content_encoding")
    end.publish(queue.name, **dict.fromkeys(names, binary))
    message = end.take().message
    assert {getattr(message, name) for name in names} == {"id\x7f\x7f"}


def test_a_queue_that_was_deleted_is_declared_and_consumed_again(open_on_rabbitmq: Opener, queue: Queue) -> None:
    end, other = open_on_rabbitmq(declares=[queue], consumes=[queue]), open_on_rabbitmq()
    _delete(open_on_rabbitmq.url, queue)
    wait_until(
        lambda: other.publish(queue.name, b"again") is PublishOutcome.CONFIRMED, WAIT_SECONDS, "the queue is there"
    )
    assert end.take().message.body == b"again"


def test_what_is_only_published_to_is_declared_again_with_its_bindings(open_on_rabbitmq: Opener) -> None:
    service = f"test{uuid.uuid4().hex[:8]}"
    command = Queue(f"{service}.make", "command")
    retry = Queue(f"{service}.retry.1s", "retry", delay_seconds=1)
    events = Queue(f"{service}.events", "events", topics=(f"{service}.made",))
    queues = [Queue(f"{service}.dead", "dead"), command, retry, events]
    end, other = open_on_rabbitmq(declares=queues, consumes=[events]), open_on_rabbitmq(declares=queues)
    with pika.BlockingConnection(pika.URLParameters(open_on_rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.exchange_delete(EVENTS_EXCHANGE)
        channel.exchange_delete(retry.name)
        channel.queue_delete(retry.name)
        channel.queue_unbind(command.name, "bus.requests", command.name)

    def is_routed(key: str, exchange: str) -> bool:
        return other.publish(key, exchange=exchange, persistent=True) is PublishOutcome.CONFIRMED

    wait_until(lambda: is_routed(command.name, "bus.requests"), WAIT_SECONDS, "the command queue is bound")
    wait_until(lambda: is_routed(command.name, retry.name), WAIT_SECONDS, "the retry queue is bound")

    def event_arrives() -> bool:
        return is_routed(f"{service}.made", EVENTS_EXCHANGE) and not end.nothing_comes()

    wait_until(event_arrives, WAIT_SECONDS, "events arrive")


def test_a_queue_of_another_version_does_not_end_the_upkeep_of_the_rest(open_on_rabbitmq: Opener) -> None:
    service = f"test{uuid.uuid4().hex[:8]}"
    first, second = Queue(f"{service}.first", "query"), Queue(f"{service}.second", "query")
    end = open_on_rabbitmq(declares=[first, second])
    with pika.BlockingConnection(pika.URLParameters(open_on_rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.queue_delete(first.name)
        channel.queue_declare(first.name, durable=True, arguments={"x-max-length": 7})
        channel.queue_delete(second.name)
    wait_until(
        lambda: end.publish(second.name) is PublishOutcome.CONFIRMED, WAIT_SECONDS, "the second queue is declared"
    )


def test_after_the_broker_closed_the_connections_everything_is_as_before(
    open_on_rabbitmq: Opener, queue: Queue, rabbitmq: Broker
) -> None:
    if rabbitmq.kind == "given":
        pytest.skip("RECONNECTING IS NOT TESTED: the broker is given, its connections are not ours to close")
    end = open_on_rabbitmq(declares=[queue], consumes=[queue], prefetch=10, replies=True)
    end.publish(queue.name, b"delivered")
    delivery = end.take()
    address = end.transport.reply_address
    rabbitmq.ctl("close_all_connections", "--vhost", _vhost(open_on_rabbitmq.url), "for a test")
    assert end.replies_lost.wait(WAIT_SECONDS)
    again = end.take()
    assert (again.message.body, again.deaths) == (b"delivered", 1)
    end.transport.acknowledge([delivery])  # of a lost connection: ignored
    wait_until(lambda: end.transport.reply_address not in (None, address), WAIT_SECONDS, "a new reply address")
    wait_until(lambda: end.publish(queue.name, b"next") is PublishOutcome.CONFIRMED, WAIT_SECONDS, "publishing works")
    assert end.take().message.body == b"next"
    end.transport.acknowledge([again])
    end.transport.close(WAIT_SECONDS)
    assert open_on_rabbitmq(declares=[queue], consumes=[queue], prefetch=10).take().message.body == b"next"


def test_outcomes_come_once_also_when_the_connection_is_lost(
    open_on_rabbitmq: Opener, queue: Queue, rabbitmq: Broker
) -> None:
    if rabbitmq.kind == "given":
        pytest.skip("LOSING CONNECTIONS IS NOT TESTED: the broker is given, its connections are not ours to close")
    end = open_on_rabbitmq(declares=[queue])
    settled: SimpleQueue[tuple[int, PublishOutcome]] = SimpleQueue()
    lost = threading.Event()

    def close_until_lost() -> None:
        # A connection that was opened just now may not be among those that RabbitMQ knows of yet.
        while not lost.is_set():
            rabbitmq.ctl("close_all_connections", "--vhost", _vhost(open_on_rabbitmq.url), "for a test")

    def settle(number: int, outcome: PublishOutcome) -> None:
        settled.put((number, outcome))
        if outcome in (PublishOutcome.UNKNOWN, PublishOutcome.DISCONNECTED):
            lost.set()

    closing = threading.Thread(target=close_until_lost)
    closing.start()
    deadline, sent = time.monotonic() + WAIT_SECONDS, 0
    while sent < 100 or not (lost.is_set() or time.monotonic() > deadline):
        number, sent = sent, sent + 1
        end.transport.publish(Message(queue=queue.name, body=b"{}"), partial(settle, number))
        time.sleep(0.001)
    was_lost = lost.is_set()
    lost.set()
    closing.join()
    outcomes = [settled.get(timeout=WAIT_SECONDS) for _ in range(sent)]
    assert sorted(number for number, _ in outcomes) == list(range(sent))
    assert was_lost
    assert settled.empty()


def test_a_view_of_a_queue_counts_ready_and_unacknowledged_messages(open_on_rabbitmq: Opener) -> None:
    busy, other, events = _queue("command"), _queue("query"), _queue("events")
    queues = [busy, other, events]
    end = open_on_rabbitmq(declares=queues, consumes=queues, prefetch=2)
    for _ in range(5):
        end.publish(busy.name)
    first, _ = end.take(), end.take()
    end.transport.acknowledge([first])
    end.take()
    wait_until(lambda: end.transport.view(WAIT_SECONDS)[0].ready == 2, WAIT_SECONDS, "the broker has counted")
    views = {view.queue: view for view in end.transport.view(WAIT_SECONDS)}
    seen = views[busy.name]
    assert (seen.ready, seen.consumers, seen.delivered, seen.unacknowledged, seen.prefetch) == (2, 1, 3, 2, 2)
    assert (views[other.name].consumers, views[other.name].delivered) == (1, 0)
    assert [views[queue.name].single_active_consumer for queue in queues] == [False, False, True]
    end.transport.stop_consuming()
    wait_until(lambda: not end.transport.view(WAIT_SECONDS), WAIT_SECONDS, "there is no view without consumers")


def test_a_deleted_queue_counts_as_empty_and_the_others_are_counted(open_on_rabbitmq: Opener) -> None:
    queues = [_queue("query") for _ in range(4)]
    end = open_on_rabbitmq(declares=queues, consumes=queues)
    looking = open_on_rabbitmq()
    connection = looking.transport
    counts: SimpleQueue[Any] = SimpleQueue()
    names = [queues[0].name, "gone.one", queues[1].name, "gone.two"]
    assert isinstance(connection, RabbitMQ)
    publishing = connection._publisher.connection.pika_connection
    assert publishing is not None
    connection._soon(lambda: QueueCounter(publishing, names, counts.put))
    counted = counts.get(timeout=WAIT_SECONDS)
    assert [counted[name].consumers for name in names] == [1, 0, 1, 0]
    assert end.publish(queues[0].name) is PublishOutcome.CONFIRMED


def test_without_a_connection_there_is_no_view(queue: Queue) -> None:
    transport = transport_for("amqp://nobody:x@127.0.0.1:1/none", "test")
    transport.open(TransportOptions(declares=[queue], consumes=[queue]))
    assert not transport.view(SILENCE_SECONDS)
    transport.close(WAIT_SECONDS)


def test_after_the_consumer_reconnected_deliveries_come_again(open_end: Opener, queue: Queue) -> None:
    end = open_end(declares=[queue], consumes=[queue], prefetch=10)
    end.publish(queue.name, b"delivered")
    end.take()
    end.transport.reconnect_consumer("for a test")
    if not isinstance(end.transport, Embedded):  # which loses nothing
        assert end.take().message.body == b"delivered"
    wait_until(lambda: end.publish(queue.name, b"next") is PublishOutcome.CONFIRMED, WAIT_SECONDS, "publishing works")
    assert end.take().message.body == b"next"


def test_a_channel_with_nothing_but_refusals_is_replaced_and_every_outcome_comes_once(
    open_on_rabbitmq: Opener, rabbitmq: Broker
) -> None:
    if rabbitmq.kind == "given":
        pytest.skip("THE CHANNELS ARE NOT COUNTED: the broker is given, and rabbitmqctl is not ours to run")
    queue = _queue("command", bound=1)
    end = open_on_rabbitmq(declares=[queue])
    wait_until(lambda: end.publish(queue.name) is PublishOutcome.FULL, WAIT_SECONDS, "the queue is full")
    settled: SimpleQueue[tuple[int, PublishOutcome]] = SimpleQueue()
    sent = 0

    def channels() -> list[str]:
        listed = rabbitmq.ctl("list_channels", "-q", "--no-table-headers", "vhost", "number").splitlines()
        vhost = _vhost(open_on_rabbitmq.url)
        return sorted(line.partition("\t")[2] for line in listed if line.startswith(f"{vhost}\t"))

    def is_replaced() -> bool:
        nonlocal sent
        for number in range(sent, sent + 10):
            end.transport.publish(Message(queue=queue.name, body=b"{}"), partial(_add, settled, number))
        sent += 10
        # One to consume, one for replies, and the third channel in the first one's place.
        return channels() == ["1", "2", "3"]

    wait_until(is_replaced, WAIT_SECONDS, "another channel")
    outcomes = [settled.get(timeout=WAIT_SECONDS) for _ in range(sent)]
    assert sorted(number for number, _ in outcomes) == list(range(sent))
    assert {outcome for _, outcome in outcomes} == {PublishOutcome.FULL}
    _delete(open_on_rabbitmq.url, queue)
    open_on_rabbitmq(declares=[queue])
    assert end.publish(queue.name) is PublishOutcome.CONFIRMED
    assert settled.empty()


def _is_left_alone(end: End, queue: Queue) -> bool:
    """Whether a message that is published now stays in its queue."""
    end.publish(queue.name, b"after")
    return end.nothing_comes()


def _length(url: str, queue: Queue) -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return int(connection.channel().queue_declare(queue.name, passive=True).method.message_count)


def _delete(url: str, queue: Queue) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_delete(queue.name)


def _add(settled: SimpleQueue[tuple[int, PublishOutcome]], number: int, outcome: PublishOutcome) -> None:
    settled.put((number, outcome))


def _vhost(url: str) -> str:
    return url.rpartition("/")[2]
