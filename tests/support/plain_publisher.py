"""A publisher made of pika and JSON only, without `bus`: what a program in any language would do."""

import json
import struct
import sys
import time
import uuid
from typing import Any

import pika

# The first message waits until the worker has opened its database; the rest is for a machine that stands still.
ANSWER_SECONDS = 30.0


class Answer:
    """A reply message."""

    def __init__(self, properties: pika.BasicProperties, body: bytes) -> None:
        self.properties, self.body = properties, body

    @property
    def status(self) -> int:
        status: int = self.properties.headers["status"]
        return status

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        return self.json.get("code")


class PlainPublisher:
    """One connection. `ask` sends a request and waits for the reply, `send` does not wait."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()
        self.reply_queue: str = self.channel.queue_declare("", exclusive=True).method.queue
        self._answers: list[Answer] = []
        self.channel.basic_consume(self.reply_queue, self._replied, auto_ack=True)

    def send(self, queue: str, body: object, *, exchange: str = "", **properties: Any) -> None:
        """Publish. Raises pika's UnroutableError or NackError when the broker does not accept it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.channel.basic_publish(exchange, queue, raw, pika.BasicProperties(**properties), mandatory=True)

    def send_forged(self, queue: str, body: object, headers: bytes, **properties: Any) -> None:
        """Publish with these bytes as the header table, which pika itself would not write."""
        forged = _Forged(headers={}, **properties)
        forged.table = headers
        self.channel.basic_publish("", queue, json.dumps(body).encode(), forged, mandatory=True)

    def ask(self, queue: str, body: object, **properties: Any) -> Answer:
        """Send a request and return the next reply."""
        self.send(queue, body, **{"reply_to": self.reply_queue, **properties})
        return self.answer()

    def call(self, queue: str, **fields: Any) -> Any:
        """Send a request with these fields and a new correlation id; return the JSON of its reply."""
        correlation_id = uuid.uuid4().hex
        answer = self.ask(queue, fields, correlation_id=correlation_id)
        if answer.properties.correlation_id != correlation_id:
            raise AssertionError(f"the reply has another correlation id: {answer.properties}")
        return answer.json

    def answer(self) -> Answer:
        """Wait for the next reply and return it."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self._answers:
            left = deadline - time.monotonic()
            self._connection.process_data_events(max(0.0, left))  # returns at any event
            if not self._answers and left < 0:
                raise TimeoutError(f"no reply within {ANSWER_SECONDS:g} s")
        return self._answers.pop(0)

    def take(self, queue: str) -> tuple[pika.BasicProperties, bytes] | None:
        """Take the next message from a queue; None when the queue is empty."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        return (properties, body) if method else None

    def close(self) -> None:
        self._connection.close()

    def _replied(self, _channel: Any, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self._answers.append(Answer(properties, body))


class _Forged(pika.BasicProperties):
    table = b""

    def encode(self) -> list[bytes]:
        """Headers follow the flags, the content type and the encoding; we send neither of these two."""
        flags, empty_table, *others = super().encode()
        if empty_table != bytes(4):
            raise AssertionError("a forged message has no content type")
        return [flags, struct.pack(">I", len(self.table)) + self.table, *others]


def main(url: str) -> None:
    """Create a product and print the reply."""
    publisher = PlainPublisher(url)
    reply = publisher.call("catalog.create_product", name="Plain", price=1.5, quantity=2)
    publisher.close()
    print(json.dumps({"reply": reply, "ours": sorted(name for name in sys.modules if name.split(".")[0] == "bus")}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
