"""Replies: one status and one body, in reply messages and over HTTP."""

import json
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.contract.fields import Secret
from bus.contract.operations import Command, Reply
from bus.contract.problems import FieldError, Invalid, Problem, Unavailable
from bus.contract.refusals import Refused
from bus.contract.validation import accept
from bus.messaging.message import PROBLEM, Message
from bus.messaging.replies import EncodedReply, defect_of, error_of
from catalog.contract import Product, ProductCreated, ProductNotFound, ProductPage

_MEMBERS = {"type", "title", "status", "detail", "code", "error", "message"}
_TEXT = st.text(min_size=1, max_size=30)

LAMP = Product(id=7, name="Lamp", price=Decimal("9.90"), quantity=3, available=3, version=1)


def _request(**properties: str) -> Message:
    return Message(queue="catalog.create_product", body=b"{}", **properties)  # type: ignore[arg-type]


def test_a_success_carries_its_status_its_body_its_location_and_its_version() -> None:
    reply = EncodedReply.of(ProductCreated(product=LAMP), 201).to(_request(reply_to="amq.gen-1", correlation_id="c"))
    assert reply is not None
    assert (reply.queue, reply.correlation_id, reply.content_type) == ("amq.gen-1", "c", "application/json")
    assert reply.headers == {"status": 201, "location": "/products/7", "etag": '"1"'}
    assert b'"price":9.90' in reply.body
    assert not reply.persistent


LINKS = [("", None), ("/products?cursor=x", '</products?cursor=x>; rel="next"')]
ELSEWHERE = ['<//elsewhere>; rel="next"', '<http://elsewhere/>; rel="next"', "</x>", 5, '</a\r\nb>; rel="next"']


@pytest.mark.parametrize(("next_page", "link"), LINKS)
def test_a_page_has_a_link_to_the_next(next_page: str, link: str | None) -> None:
    reply = EncodedReply.of(ProductPage(products=[], next=next_page or None), 200, next_page).to(_request(reply_to="r"))
    assert reply is not None
    assert reply.headers.get("link") == link
    assert defect_of(reply) == ""


@pytest.mark.parametrize("link", ELSEWHERE)
def test_a_link_that_leads_elsewhere_is_no_header_of_a_reply(link: Any) -> None:
    reply = Message(queue="r", body=b"{}", content_type="application/json", headers={"status": 200, "link": link})
    assert defect_of(reply) == "The header link is not the path of a next page."


class Gone(Reply):
    pass


def test_a_success_without_content_has_neither_body_nor_type() -> None:
    reply = EncodedReply.of(Gone(), 204).to(_request(reply_to="amq.gen-1"))
    assert reply is not None
    assert (reply.body, reply.content_type, reply.headers) == (b"", None, {"status": 204})


def test_a_refusal_is_a_problem_document() -> None:
    reply = EncodedReply.problem(ProductNotFound().problem).to(_request(reply_to="amq.gen-1"))
    assert reply is not None
    assert (reply.content_type, reply.headers) == ("application/problem+json", {"status": 404})
    assert reply.correlation_id is None
    assert json.loads(reply.body)["code"] == "catalog.product_not_found"


@given(
    st.builds(
        Problem.of,
        code=st.from_regex(r"[a-z]+(-[a-z]+)*", fullmatch=True),
        status=st.integers(400, 599),
        title=_TEXT,
        detail=_TEXT,
        errors=st.lists(st.builds(FieldError, pointer=_TEXT, detail=_TEXT, code=_TEXT), max_size=3),
        retry_after=st.integers(0, 100),
    )
)
def test_a_problem_document_has_its_members_and_its_status(problem: Problem) -> None:
    encoded = EncodedReply.problem(problem)
    document = json.loads(encoded.body)
    assert document.keys() >= _MEMBERS
    assert document["status"] == encoded.status == problem.status
    reply = encoded.to(Message(queue="x", body=b"", reply_to="reply"))
    assert reply is not None
    assert (reply.content_type, reply.headers["status"]) == (PROBLEM, problem.status)


class Ship(Command[Gone], name="shop.ship"):
    code: str

    def violations(self) -> list[FieldError]:
        return [FieldError("/code", "Not this one.", self.code)]


@pytest.mark.parametrize("code", ["shop.duplicate_line", "duplicate-line"])
def test_what_a_contract_does_not_accept_is_invalid_whatever_its_code(code: str) -> None:
    with pytest.raises(Invalid) as refused:
        accept({"code": code}, Ship)
    error = error_of(Ship, 422, EncodedReply.problem(refused.value.problem).body)
    assert isinstance(error, Invalid)
    assert error.problem == refused.value.problem


def test_a_refusal_that_is_not_declared_is_no_invalid_request() -> None:
    problem = Problem.of("shop.sold_out", 422, "Sold out", errors=[FieldError("/lines/0", "None.", "shop.sold_out")])
    assert isinstance(error_of(Ship, 422, EncodedReply.problem(problem).body), Refused)


def test_unavailable_says_when_to_try_again() -> None:
    reply = EncodedReply.problem(Unavailable("queue-full", "Full.", retry_after=3).problem).to(
        _request(reply_to="reply")
    )
    assert reply is not None
    assert reply.headers == {"status": 503, "retry-after": 3}


def test_a_binary_correlation_id_is_returned_unchanged() -> None:
    request = Message(queue="q", body=b"", reply_to="reply", correlation_id=b"\xff\x00")
    reply = EncodedReply.of(LAMP, 200).to(request)
    assert reply is not None
    assert reply.correlation_id == b"\xff\x00"


def test_a_request_without_a_reply_address_gets_no_reply() -> None:
    assert EncodedReply.of(LAMP, 200).to(_request()) is None
    assert EncodedReply.of(LAMP, 200).to(_request(reply_to="")) is None


class Key(Reply):
    name: str
    secret: Annotated[str, Secret()]


def test_a_secret_is_in_the_reply_and_not_in_the_stored_body() -> None:
    reply = EncodedReply.of(Key(name="door", secret="hunter22"), 201)
    assert json.loads(reply.body) == {"name": "door", "secret": "hunter22"}
    assert json.loads(reply.cut_body) == {"name": "door", "secret": "[secret]"}


def test_a_reply_without_secrets_is_stored_as_it_is_sent() -> None:
    assert EncodedReply.of(LAMP, 200).cut_body == b""
