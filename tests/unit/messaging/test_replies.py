"""Answers: one status and one body, in reply messages and over HTTP."""

import json
from decimal import Decimal
from typing import Annotated

from bus.contract.fields import Secret
from bus.contract.operations import Reply
from bus.contract.problems import Unavailable
from bus.messaging.message import Message
from bus.messaging.replies import EncodedReply
from catalog.contract import Product, ProductCreated, ProductNotFound

LAMP = Product(id=7, name="Lamp", price=Decimal("9.90"), quantity=3, version=1)


def _request(**properties: str) -> Message:
    return Message(queue="catalog.create_product", body=b"{}", **properties)  # type: ignore[arg-type]


def test_a_success_carries_its_status_its_body_and_where_the_thing_is() -> None:
    reply = EncodedReply.of(ProductCreated(product=LAMP), 201).to(_request(reply_to="amq.gen-1", correlation_id="c"))
    assert reply is not None
    assert (reply.queue, reply.correlation_id, reply.content_type) == ("amq.gen-1", "c", "application/json")
    assert reply.headers == {"status": 201, "location": "/products/7"}
    assert b'"price":9.90' in reply.body
    assert not reply.persistent


def test_a_refusal_is_a_problem_document() -> None:
    reply = EncodedReply.problem(ProductNotFound().problem).to(_request(reply_to="amq.gen-1"))
    assert reply is not None
    assert (reply.content_type, reply.headers) == ("application/problem+json", {"status": 404})
    assert reply.correlation_id is None
    assert json.loads(reply.body)["code"] == "catalog.product_not_found"


def test_an_unavailability_says_when_to_come_back() -> None:
    reply = EncodedReply.problem(Unavailable("queue-full", "Full.", retry_after=3).problem).to(
        _request(reply_to="reply")
    )
    assert reply is not None
    assert reply.headers == {"status": 503, "retry-after": 3}


def test_a_binary_correlation_id_comes_back_as_it_was() -> None:
    request = Message(queue="q", body=b"", reply_to="reply", correlation_id=b"\xff\x00")
    reply = EncodedReply.of(LAMP, 200).to(request)
    assert reply is not None
    assert reply.correlation_id == b"\xff\x00"


def test_nobody_is_answered_who_names_no_address() -> None:
    assert EncodedReply.of(LAMP, 200).to(_request()) is None
    assert EncodedReply.of(LAMP, 200).to(_request(reply_to="")) is None


class Key(Reply):
    name: str
    secret: Annotated[str, Secret()]


def test_a_secret_is_told_once_and_not_stored() -> None:
    answer = EncodedReply.of(Key(name="door", secret="hunter22"), 201)
    assert json.loads(answer.body) == {"name": "door", "secret": "hunter22"}
    assert json.loads(answer.cut_body) == {"name": "door", "secret": "[secret]"}


def test_what_holds_no_secret_is_stored_as_it_is_told() -> None:
    answer = EncodedReply.of(LAMP, 200)
    assert answer.cut_body == b""
