"""The sender of a fuzz: makes messages up, valid ones, junk and all between, and takes the answers."""

import hashlib
import json
import random
import struct
from contextlib import closing
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from faults.fuzz_account import Account

# Sent and not answered yet: below the bound of a queue of questions.
MAX_UNANSWERED = 500


class Sender:
    """Makes messages up and sends them; takes the answers as they come."""

    def __init__(self, url: str, account: Account, dice: random.Random) -> None:
        self._url, self._account, self._dice = url, account, dice
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.add_on_return_callback(self._returned)
        self._replies = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.basic_consume(self._replies, self._replied, auto_ack=True)
        self._asked: set[str] = set()
        # How often each kind is drawn: what ends a connection takes long.
        self._kinds = {
            self._valid: 16,
            self._query: 8,
            self._junk: 16,
            self._mutated: 16,
            self._strange_property: 8,
            self._strange_headers: 8,
            self._elsewhere: 8,
            self._account_of_auth: 8,
            self._refused_by_the_broker: 1,
        }

    def send(self, number: str) -> None:
        """Send one message of a kind drawn by lot."""
        self._account.sent.add(number)
        [kind] = self._dice.choices(list(self._kinds), list(self._kinds.values()))
        kind(number)
        self._connection.process_data_events(0)
        while len(self._asked) > MAX_UNANSWERED:
            self._connection.process_data_events(1)

    def is_drained(self) -> bool:
        """Whether all that asked for an answer have one."""
        self._connection.process_data_events(0.1)
        return not self._asked

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # The kinds. What asks for an answer gets one; what does not is in the database or a dead letter.

    def _valid(self, number: str) -> None:
        address = self._dice.choice([self._replies, None, f"reply-{number}"])
        message_id = self._dice.choice([None, f"id-{number}"])
        self._publish(number, "catalog.create_product", _lamp(number), reply_to=address, message_id=message_id)

    def _query(self, number: str) -> None:
        body: dict[str, Any]
        queue, body = self._dice.choice(
            [
                ("catalog.get_product", {"product_id": self._dice.randrange(2**63)}),
                ("catalog.list_products", {"limit": 1}),
                ("catalog.ping", {}),
                ("auth.ping", {}),
                ("catalog.get_outcome", {"message_id": number}),
            ]
        )
        self._publish(number, queue, json.dumps(body).encode(), reply_to=self._replies, expiration="600000")

    def _junk(self, number: str) -> None:
        body = self._dice.choice(
            [
                self._dice.randbytes(self._dice.randrange(300)),
                b"[" * self._dice.randrange(1, 20_000),
                b"{" + self._dice.randbytes(20),
                b"9" * self._dice.randrange(1, 5000),
                b'{"name": "a", "name": "b"}',
                b'{"\\ud800": NaN}',
                b"null",
                b"",
            ]
        )
        self._publish(number, self._command(), body, reply_to=self._dice.choice([self._replies, None, "auth.dead"]))

    def _mutated(self, number: str) -> None:
        body = bytearray(_lamp(number))
        for _ in range(self._dice.randrange(1, 4)):
            place = self._dice.randrange(len(body))
            body[place : place + self._dice.randrange(3)] = self._dice.randbytes(self._dice.randrange(3))
        self._publish(number, self._command(), bytes(body), reply_to=self._replies)

    def _strange_property(self, number: str) -> None:
        strange = self._dice.choice(
            [
                {"content_type": self._short_text()},
                {"content_encoding": self._short_text()},
                {"message_id": self._short_text()},
                {"type": self._short_text()},
                {"app_id": self._short_text()},
                {"priority": self._dice.randrange(256)},
                {"timestamp": self._dice.randrange(2**63)},
                {"expiration": str(self._dice.randrange(3))},
                {"delivery_mode": 1},
            ]
        )
        self._publish(number, "catalog.create_product", _lamp(number), **strange)

    def _strange_headers(self, number: str) -> None:
        kinds = [
            b"t\1",
            b"T" + bytes([127] * 8),
            b"V",
            b"I\xff\xff\xff\xff",
            b"S\0\0\0\2\xff\xfe",
            b"F\0\0\0\0",
            b"s\0\5",
        ]
        names = [b"x-death", b"x-delivery-count", b"attempts", b"first-at", b"traceparent", b"authorization", b"\xff"]
        names += [b"tracestate", b"timestamp_in_ms"]
        rows = [(self._dice.choice(names), self._dice.choice(kinds)) for _ in range(self._dice.randrange(1, 5))]
        table = b"".join(bytes([len(name)]) + name + kind for name, kind in rows)
        self._publish(number, "catalog.create_product", _lamp(number), table=table, reply_to=self._replies)

    def _elsewhere(self, number: str) -> None:
        """Into the other queues and exchanges of a service."""
        self._dice.choice(
            [
                lambda: self._publish(number, "catalog.quarantine", _lamp(number)),
                lambda: self._publish(number, "auth.quarantine", b"{", headers={"origin-queue": self._short_text()}),
                lambda: self._publish(
                    number, "catalog.quarantine", _lamp(number), headers={"origin-queue": "catalog.create_product"}
                ),
                lambda: self._publish(number, "catalog.create_product", _lamp(number), exchange="catalog.retry.1s"),
                lambda: self._publish(number, "catalog.create_product", _lamp(number), exchange="bus.requests"),
                lambda: self._publish(number, self._text(), _lamp(number), exchange="bus.requests"),
                lambda: self._publish(number, "catalog.product_changed", b"{", exchange="bus.events"),
            ]
        )()

    def _account_of_auth(self, number: str) -> None:
        """Hardly ever a password that has to be hashed."""
        fields = {"username": f"fuzz{number}", "email": "nowhere", "password": "correct horse"}
        if self._dice.random() < 0.02:
            fields["email"] = f"fuzz{number}@example.com"
        self._publish(number, "auth.register", json.dumps(fields).encode(), reply_to=self._replies)

    def _refused_by_the_broker(self, number: str) -> None:
        """On a connection of its own, for the broker ends the channel."""
        properties = self._dice.choice(
            [{"expiration": "x"}, {"expiration": "-1"}, {"reply_to": "amq.rabbitmq.reply-to"}, {"user_id": "nobody"}]
        )
        try:
            with closing(pika.BlockingConnection(pika.URLParameters(self._url))) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.basic_publish("", "catalog.create_product", b"{", _properties(number, **properties))
        except pika.exceptions.AMQPError:
            self._account.refused.add(number)

    def _command(self) -> str:
        return self._dice.choice(["catalog.create_product", "catalog.update_product", "auth.register"])

    def _short_text(self) -> Any:
        length = self._dice.randrange(256)
        return self._dice.choice([self._text(), self._dice.randbytes(length), "x" * length, ""])

    def _text(self) -> str:
        return "".join(self._dice.choice("é \x00\nab/%") for _ in range(self._dice.randrange(1, 50)))

    def _publish(
        self, number: str, queue: str, body: bytes, *, exchange: str = "", table: bytes | None = None, **given: Any
    ) -> None:
        properties = _properties(number, **given) if table is None else Forged(table, number, **given)
        if given.get("reply_to") == self._replies:
            self._asked.add(number)
        self._channel.basic_publish(exchange, queue, body, properties, mandatory=True)

    def _replied(self, _channel: BlockingChannel, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        number = properties.correlation_id
        self._asked.discard(number)
        self._account.answers[number] += 1
        if properties.headers["status"] >= 500:
            self._account.failures.append(body)

    def _returned(
        self, _channel: BlockingChannel, _method: Any, properties: pika.BasicProperties, _body: bytes
    ) -> None:
        number = properties.correlation_id
        self._asked.discard(number)
        self._account.refused.add(number)


class Forged(pika.BasicProperties):  # type: ignore[misc]  # pika is half typed
    """Properties with a header table of these bytes, which pika itself would not write."""

    def __init__(self, table: bytes, number: str, **given: Any) -> None:
        super().__init__(headers={}, correlation_id=number, **given)
        self._table = table

    def encode(self) -> list[bytes]:
        """Headers come right after the flags, as there is neither content type nor encoding."""
        flags, _empty, *others = super().encode()
        return [flags, struct.pack(">I", len(self._table)) + self._table, *others]


def _properties(number: str, **given: Any) -> pika.BasicProperties:
    return pika.BasicProperties(correlation_id=number, **given)


def _lamp(number: str) -> bytes:
    return json.dumps({"name": name_of(number), "price": 9.9, "quantity": 3}).encode()


def name_of(number: str) -> str:
    """A name that no mutation makes of another one."""
    return f"{number} {hashlib.sha256(number.encode()).hexdigest()[:16]}"
