"""Requests and answers without a body, and a body where HTTP has none as a rule."""

from types import ModuleType
from typing import Annotated, Any

import msgspec
import pytest
from flask.testing import FlaskClient
from msgspec import UNSET, Meta, UnsetType

from bus.contract.codec import parse
from bus.contract.fields import Secret
from bus.contract.operations import Command, Operation, Reply
from bus.http.application import front_end
from bus.messaging.message import Message


class Done(Reply):
    """It is done."""


class Enable(Command[Done], name="example.enable", http="POST /things/{thing_id}/enable", status=204):
    """Enable a thing."""

    thing_id: int


class Erase(Command[Done], name="example.erase", http="DELETE /things/{thing_id}", status=204):
    """Erase a thing; the password says that it is meant."""

    thing_id: int
    password: Annotated[str, Secret()]


class Rename(Command[Done], name="example.rename", http="PUT /things/{thing_id}", status=204, if_match="expected"):
    """Rename a thing of this version."""

    thing_id: Annotated[int, Meta(ge=1)]
    expected: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class _Client:
    """Answers 204 to everything, and keeps what was asked for."""

    metrics = spans = None

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def is_hopeless(self, _operation: type[Operation[Any]]) -> bool:
        return False

    def exchange(self, operation: type[Operation[Any]], body: bytes, **_: object) -> Message:
        self.asked.append(parse(body))
        return Message(queue="reply", body=b"", headers={"status": 204})


@pytest.fixture
def client() -> _Client:
    return _Client()


@pytest.fixture
def http(client: _Client) -> FlaskClient:
    contract = ModuleType("example.contract", "An example.")
    vars(contract).update(Enable=Enable, Erase=Erase, Rename=Rename)
    return front_end("example", contract, client).test_client()  # type: ignore[arg-type]


def test_an_answer_without_content_has_neither_body_nor_type(http: FlaskClient, client: _Client) -> None:
    answer = http.post("/things/7/enable")
    assert (answer.status_code, answer.data, answer.content_type) == (204, b"", None)
    assert client.asked == [{"thing_id": 7}]


def test_a_body_that_may_be_left_out_is_still_read(http: FlaskClient, client: _Client) -> None:
    assert http.post("/things/7/enable", json={}).status_code == 204
    assert http.post("/things/7/enable", json={"more": 1}).status_code == 422
    assert http.post("/things/7/enable", data="x=1", content_type="text/plain").status_code == 415
    assert client.asked == [{"thing_id": 7}]


def test_a_delete_with_a_secret_takes_it_in_its_body(http: FlaskClient, client: _Client) -> None:
    assert http.delete("/things/7", json={"password": "hunter2"}).status_code == 204
    assert http.delete("/things/7?password=hunter2").status_code in (400, 415)
    assert client.asked == [{"thing_id": 7, "password": "hunter2"}]


def test_a_version_in_a_header_that_cannot_be_is_not_the_id_of_nothing(http: FlaskClient, client: _Client) -> None:
    assert http.put("/things/7", json={}, headers={"If-Match": '"2"'}).status_code == 204
    impossible = http.put("/things/7", json={}, headers={"If-Match": '"0"'})
    assert impossible.json is not None
    assert (impossible.status_code, impossible.json["errors"][0]["pointer"]) == (422, "/expected")
    assert http.put("/things/0", json={}, headers={"If-Match": '"0"'}).status_code == 404
    assert client.asked == [{"thing_id": 7, "expected": 2}]


def test_the_documents_describe_both(http: FlaskClient) -> None:
    document = http.get("/openapi.json").json
    assert document is not None
    enable = document["paths"]["/things/{thing_id}/enable"]["post"]
    assert enable["requestBody"]["required"] is False
    assert "content" not in enable["responses"]["204"]
    erase = document["paths"]["/things/{thing_id}"]["delete"]
    assert erase["requestBody"]["required"] is True
    assert "password" in msgspec.json.encode(erase["requestBody"]).decode()
