"""The client: everything it sends goes one way, with the caller's id and token."""

from collections.abc import Callable

import pytest
from support.example_service import Count, Counted, Keep, KeepGuarded, WhoAmI

from bus.client.client import Client
from bus.client.liveness import PING_SECONDS
from bus.contract.builtin import SealingKey
from bus.contract.codec import encode
from bus.contract.problems import Unavailable
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome, TransportOptions
from bus.security.identity import signature_of
from bus.security.keys import KeyPair
from bus.security.seal import ALG, ENC, unseal

PAIR = KeyPair.new()
SIGNATURE = signature_of(KeyPair.new(), "example", PAIR.kid)
BODIES = {
    "example.ping": b'{"service":"example","database":"sqlite","time":"2030-01-31T12:00:00Z"}',
    "example.get_sealing_key": encode(
        SealingKey(kid=PAIR.kid, alg=ALG, enc=ENC, jwk=PAIR.public_jwk, signature=SIGNATURE)
    ),
    "example.who_am_i": b'{"account":"17","session":"s1","scopes":[]}',
}


class Transport:
    """Stands for a broker with a service behind it: notes what is published, and answers what has a reply address."""

    failure = None
    dropped_replies = 0
    is_embedded = False

    def __init__(self, outcome: PublishOutcome = PublishOutcome.CONFIRMED) -> None:
        self.sent: list[Message] = []
        self.reply_address: str | None = "replies"
        self.consumers, self.is_silent = 1, False
        self._outcome = outcome
        self._options = TransportOptions()

    def describe(self) -> str:
        return "a test"

    def open(self, options: TransportOptions) -> None:
        self._options = options

    def wait_until_ready(self, _seconds: float) -> bool:
        return True

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None]) -> None:
        self.sent.append(message)
        on_outcome(self._outcome)
        if message.reply_to and self._options.on_reply and not self.is_silent:
            body = BODIES.get(message.queue, b'{"count":3}')
            reply = Message(queue="replies", body=body, correlation_id=message.correlation_id, headers={"status": 200})
            self._options.on_reply(reply)

    def count_consumers(self, queue: str, on_count: Callable[[int], None]) -> None:
        assert queue == "example.ping"
        on_count(self.consumers)

    def close(self, _seconds: float) -> None:
        """Nothing to close."""


def _client(transport: Transport, *, seal: bool = True) -> Client:
    return Client(transport, seal=seal)  # type: ignore[arg-type]  # the part of one that a client uses


def test_a_call_takes_its_token_along_sealed_and_the_ping_before_it_does_not() -> None:
    transport = Transport()
    client = _client(transport)
    for _ in range(2):
        client.call(WhoAmI(), token="abc")
    ping, key, *requests = transport.sent
    assert (ping.queue, key.queue) == ("example.ping", "example.get_sealing_key")
    assert not {"authorization"} & {*ping.headers, *key.headers}
    one, other = (str(request.headers["authorization"]) for request in requests)
    assert one == other  # sealed once
    assert unseal(one.removeprefix("Sealed "), PAIR) == {"token": "abc"}


def test_without_a_token_or_an_operation_that_reads_one_there_is_no_such_header() -> None:
    transport = Transport()
    _client(transport).call(WhoAmI())
    _client(transport).call(Count(word="a"), token="abc")
    assert all("authorization" not in message.headers for message in transport.sent)


def test_what_is_only_sent_asks_for_no_reply_and_for_no_sign_of_life() -> None:
    transport = Transport()
    command = KeepGuarded(word="a")
    assert _client(transport, seal=False).send(command, message_id="order-1", token="abc") == "order-1"
    (request,) = transport.sent
    assert (request.message_id, request.reply_to, request.correlation_id) == ("order-1", None, None)
    assert (request.persistent, request.expiration_ms) == (True, None)
    assert request.headers["authorization"] == "Bearer abc"


def test_what_is_only_sent_needs_no_reply_address() -> None:
    transport = Transport()
    transport.reply_address = None
    assert _client(transport).send(Keep(word="a"))


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (PublishOutcome.FULL, "queue-full"),
        (PublishOutcome.UNROUTABLE, "no-such-queue"),
        (PublishOutcome.UNKNOWN, "outcome-unknown"),
        (PublishOutcome.DISCONNECTED, "broker-away"),
    ],
)
def test_what_the_broker_does_not_accept_was_not_sent(outcome: PublishOutcome, code: str) -> None:
    with pytest.raises(Unavailable) as refused:
        _client(Transport(outcome)).send(Keep(word="a"))
    assert refused.value.problem.code == code


def test_requests_that_wait_are_bounded_and_those_that_are_over_leave_their_place() -> None:
    client = Client(Transport(), max_in_flight=1)  # type: ignore[arg-type]
    for _ in range(3):
        assert client.call(Count(word="a")) == Counted(count=3)
        client.send(Keep(word="a"))


@pytest.mark.parametrize("consumers", [0, 1], ids=["there is no worker", "a worker is slow"])
def test_where_there_is_no_worker_silence_is_believed_sooner(consumers: int) -> None:
    transport = Transport()
    transport.is_silent, transport.consumers = True, consumers
    with pytest.raises(Unavailable) as refused:
        _client(transport).call(Count(word="a"))
    assert refused.value.problem.code == "no-worker"
    (ping,) = transport.sent
    assert ping.queue == "example.ping"
    assert ((ping.expiration_ms or 0) > 1000 * PING_SECONDS / 2) == bool(consumers)
