"""The codec alone: what a message costs to decode and to encode, in the fast lane and in pika. No broker.

`python -m bench.codec` prints microseconds for each message, the best of many rounds.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from pika import frame, spec
from pika.channel import ContentFrameAssembler
from pika.connection import Connection

from bus.messaging.message import Message
from bus.messaging.rabbitmq.fast_lane import Decoder, publication
from bus.messaging.rabbitmq.properties import TolerantProperties, message_of, properties_of

TAG, QUEUE = "ctag1.0123456789abcdef0123456789abcdef", "catalog.create_product"
MESSAGES, ROUNDS = 150, 200
MOST = 2**17 - 8
REQUEST = Message(
    queue=QUEUE,
    body=b'{"name": "Lamp", "price": 19.90, "quantity": 7}',
    message_id="0192f0c4-7a52-7e0e-9d2a-9d1f3b6c5a11",
    correlation_id="1234",
    reply_to="amq.gen-Xa2QvYp0kM3dF5hJ7kL9zA",
    content_type="application/json",
    persistent=True,
    headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "timestamp_in_ms": 1_790_000_000_000},
)


def main() -> None:
    """Measure and print."""
    spec.props[spec.BasicProperties.INDEX] = TolerantProperties
    stream = _stream()
    print(f"{'µs per message':<16}{'pika':>8}{'fast lane':>12}")
    for name, runs in {
        "decode": (lambda: _decode(stream), _fast_decoder(stream)),
        "encode": (_encode, _fast_encode),
    }.items():
        pikas, ours = _best(runs)
        print(f"{name:<16}{pikas:>8.1f}{ours:>12.1f}")


def _stream() -> bytes:
    """Deliveries of the request, as one read of a socket brings them."""
    method = frame.Method(1, spec.Basic.Deliver(TAG, 7, False, "", QUEUE)).marshal()
    header = frame.Header(1, len(REQUEST.body), properties_of(REQUEST)).marshal()
    return (method + header + frame.Body(1, REQUEST.body).marshal()) * MESSAGES


def _decode(stream: bytes) -> None:
    """As pika's connection and channel do, without the look-up of callbacks."""
    buffer, assembler = stream, ContentFrameAssembler()
    while buffer:
        length, found = frame.decode_frame(buffer)
        buffer = buffer[length:]
        if content := assembler.process(found):
            message_of(QUEUE, content[1].properties, content[2])


def _fast_decoder(stream: bytes) -> Callable[[], None]:
    decoder = Decoder(lambda _data: None)
    decoder.consume(1, TAG, QUEUE, lambda _tag, _again, _message: None)
    return lambda: decoder.receive(stream)


def _encode() -> None:
    sent: list[bytes] = []
    connection: Any = SimpleNamespace(_body_max_length=MOST, _output_marshaled_frames=sent.extend)
    for _ in range(MESSAGES):
        method = spec.Basic.Publish(exchange="", routing_key=QUEUE, mandatory=True)
        Connection._send_message(connection, 1, method, (properties_of(REQUEST), REQUEST.body))


def _fast_encode() -> None:
    for _ in range(MESSAGES):
        publication(1, REQUEST, True, MOST)


def _best(runs: Sequence[Callable[[], None]]) -> list[float]:
    """In turn, so that a busy moment meets them all."""
    best = [float("inf")] * len(runs)
    for _ in range(ROUNDS):
        for number, run in enumerate(runs):
            started = perf_counter()
            run()
            best[number] = min(best[number], perf_counter() - started)
    return [1e6 * each / MESSAGES for each in best]


if __name__ == "__main__":
    main()
