"""Documents: valid by the official schemas, true of real answers, and the same every time."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner
from feed import contract as feed
from msgspec import UNSET, Meta, UnsetType
from openapi_spec_validator import validate
from orders import contract as orders

from auth import contract as auth
from bus.cli import bus
from bus.contract.builtin import CommandOutcome
from bus.contract.codec import encode_fields, read_json
from bus.contract.events import Event
from bus.contract.fields import DecimalRange, Secret
from bus.contract.operations import Command, Query, Reply, TransientCommand, operations_in
from bus.contract.problems import Invalid, ProblemError, ReplyTimeout, Unavailable
from bus.contract.refusals import Refusal
from bus.contract.validation import decode
from bus.http.documents import as_text, asyncapi, openapi
from bus.http.documents.breaking_changes import breaks
from bus.http.documents.examples import example_of
from bus.http.documents.openapi_links import links_of
from bus.messaging.replies import EncodedReply
from catalog import contract as catalog
from catalog.contract import GetProduct, ReserveStock

VENDORED = Path(__file__).parents[3] / "vendored"
RUN_SECONDS = 60.0
# `json` reads numbers as floats, which have no exact last digit; a schema's step is about digits.
read_exactly = json.JSONDecoder(parse_float=Decimal).decode


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(msgspec.Struct):
    width: Annotated[int, Meta(ge=10, le=20)]
    note: str = "none"


class Gone(Refusal, code="odd.gone", status=410):
    """It is gone.

    It does not come back.
    """


class Made(Reply):
    """What was made."""

    inside: Size
    token: Annotated[str, Secret()]
    price: Decimal
    maybe: int | UnsetType = UNSET
    message: str = "Made"

    def location(self) -> str:
        return f"/odd/{self.inside.width}"


class Make(Command[Made], name="odd.make", http="POST /odd", status=201, refuses=[Gone]):
    """Make something odd.

    It has all the shapes that fields have.
    """

    colour: Colour
    kind: Literal["small", "large"]
    sizes: list[Size]
    share: Annotated[Decimal, DecimalRange(places=1, ge=Decimal(-5), le=Decimal("0.5"))] | None
    first: Annotated[str, Secret()]
    second: Annotated[str, Meta(max_length=9), Secret()]
    maybe: Annotated[int, Meta(le=7)] | UnsetType = UNSET
    usual: int = 4
    names: list[str] = msgspec.field(default_factory=list)
    renamed: int = msgspec.field(name="named-so", default=2)


class Ask(Query[Made], name="odd.ask", http="GET /odd/{width}", refuses=[Gone]):
    width: int
    colour: Colour | UnsetType = UNSET
    word: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"


class Enter(TransientCommand[Made], name="odd.enter", http="POST /odd/entries", refuses=[Gone]):
    """Enter, now or not at all."""

    second: Annotated[str, Meta(max_length=9), Secret()]


class Unrouted(Query[Reply], name="odd.unrouted"):
    """Only on its queue."""


class OddThing(Event, name="odd.thing"):
    """Something odd happened."""

    version: int
    size: Size | None


odd = types.ModuleType("odd", "A contract with odd shapes.")
for each in (Make, Ask, Enter, Unrouted, OddThing):
    setattr(odd, each.__name__, each)

CONTRACTS = {"auth": auth, "catalog": catalog, "feed": feed, "odd": odd}
both = pytest.mark.parametrize("make", [openapi, asyncapi], ids=["openapi", "asyncapi"])
every = pytest.mark.parametrize(("name", "contract"), CONTRACTS.items(), ids=list(CONTRACTS))


@every
def test_the_openapi_document_is_one(name: str, contract: ModuleType) -> None:
    validate(json.loads(as_text(openapi(name, contract))))


@every
def test_the_asyncapi_document_is_one(name: str, contract: ModuleType) -> None:
    official = json.loads((VENDORED / "asyncapi-3.0.0.json").read_text())
    jsonschema.Draft7Validator(official).validate(json.loads(as_text(asyncapi(name, contract))))


@every
@both
def test_every_reference_leads_to_something(name: str, contract: ModuleType, make: Any) -> None:
    document = _read(make(name, contract))
    references = [each["$ref"] for each in _objects(document) if "$ref" in each]
    assert references
    for reference in references:
        place = document
        for token in reference.removeprefix("#/").split("/"):
            place = place[token]


@every
@both
def test_every_example_fits_its_schema(name: str, contract: ModuleType, make: Any) -> None:
    document = _read(make(name, contract))
    schemas = [each for each in _objects(document) if "examples" in each and "payload" not in each]
    for schema in schemas:
        for example in schema["examples"]:
            _check(document, schema, example)
    messages = [each for each in _objects(document) if "examples" in each and "payload" in each]
    for message in messages:
        for example in message["examples"]:
            _check(document, message["payload"], example["payload"])
            _check(document, message.get("headers", {}), example.get("headers", {}))
    assert schemas
    assert messages or make is openapi


OPERATIONS = [(name, each) for name, contract in CONTRACTS.items() for each in operations_in(contract) if each.http]


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=lambda each: getattr(each, "__name__", each))
def test_real_answers_are_as_described(name: str, operation: Any) -> None:
    document = _read(openapi(name, CONTRACTS[name]))
    responses = document["paths"][operation.http.path][operation.http.method.lower()]["responses"]
    answers = [
        EncodedReply.of(read_json(encode_fields(example_of(operation.reply_type)), operation.reply_type),
                  operation.success_status),
        *(EncodedReply.problem(refusal("No.").problem) for refusal in operation.refusals.values()),
        *(EncodedReply.problem(_refused(body, operation)) for body in _bad_bodies(operation)),
        EncodedReply.problem(Unavailable("queue-full", "It is full.").problem),
        EncodedReply.accepted("a/b")
        if operation.is_durable
        else EncodedReply.problem(ReplyTimeout("x", "y", 1.0).problem),
    ]  # fmt: skip
    for answer in answers:
        response = responses[str(answer.status)]
        if answer.status == 204:
            assert (answer.body, "content" in response) == (b"", False)
            continue
        kind = "application/problem+json" if answer.status >= 400 else "application/json"
        _check(document, response["content"][kind]["schema"], read_exactly(answer.body.decode()))
        assert ("Location" in response.get("headers", {})) == bool(answer.location)
        assert ("Retry-After" in response.get("headers", {})) or not answer.retry_after


def test_a_transient_command_is_described_as_one() -> None:
    operation = openapi("odd", odd)["paths"]["/odd/entries"]["post"]
    assert {"202", "409"}.isdisjoint(operation["responses"])
    assert "504" in operation["responses"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["Prefer"]
    assert operation["responses"]["200"]["headers"]["Cache-Control"]["schema"] == {"const": "no-store"}
    received = asyncapi("odd", odd)["operations"]["odd.enter"]
    assert received["bindings"]["amqp"]["deliveryMode"] == 1
    assert received["tags"] == [{"name": "transient command"}]


def test_an_answer_that_is_not_as_described_does_not_fit() -> None:
    document = _read(openapi("catalog", catalog))
    schema = document["paths"]["/products/{product_id}"]["get"]["responses"]["404"]["content"]
    problem = json.loads(EncodedReply.problem(Gone().problem).body)
    with pytest.raises(jsonschema.ValidationError):
        _check(document, schema["application/problem+json"]["schema"], problem)


def test_an_outcome_is_as_described_in_each_state() -> None:
    document = _read(openapi("catalog", catalog))
    responses = document["paths"]["/operations/{message_id}"]["get"]["responses"]
    outcomes = [
        CommandOutcome(id="a", state="pending"),
        CommandOutcome(id="a", state="done", status=404, reply=msgspec.Raw(b'{"code":"x"}')),
        CommandOutcome(id="a", state="dead", reason="fault", discarded=True),
    ]
    for outcome in outcomes:
        body = json.loads(EncodedReply.of(outcome, 200).body)
        _check(document, responses["200"]["content"]["application/json"]["schema"], body)


def test_a_schema_says_what_the_rules_of_a_field_say() -> None:
    fields = _body_schema("catalog", "/products", "post")["properties"]
    price = {"type": "number", "minimum": 0, "maximum": Decimal("9999999999.99"), "multipleOf": Decimal("0.01")}
    assert fields["price"] == {"examples": [Decimal("9.90")], **price}
    assert fields["quantity"] == {"examples": [3], "type": "integer", "minimum": 0, "maximum": 2**31 - 1}
    assert _body_schema("auth", "/register", "post")["properties"]["email"]["format"] == "email"


def test_text_of_a_request_has_no_control_characters() -> None:
    schema = _body_schema("catalog", "/products", "post")["properties"]["name"]
    _check({}, schema, "Lämp 9/10 \U0001f4a1")
    for wrong in ("a\nb", "a\x00", "\x7f", "a\x85"):
        with pytest.raises(jsonschema.ValidationError):
            _check({}, schema, wrong)


def test_secrets_are_written_only_and_sealed_on_queues_alone() -> None:
    password = _body_schema("auth", "/register", "post")["properties"]["password"]
    assert (password["writeOnly"], password["format"]) == (True, "password")
    assert "sealed" not in as_text(openapi("auth", auth)).replace("unsealable", "")
    document = _read(asyncapi("auth", auth))
    payload = document["channels"]["auth.register"]["messages"]["request"]["payload"]
    plain = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery staple"}
    sealed = {"username": "ada", "email": "ada@example.org", "sealed": "e..."}
    for body in (plain, sealed):
        _check(document, payload, body)
    for wrong in ({**plain, "sealed": "e..."}, {"username": "ada", "email": "ada@example.org"}):
        with pytest.raises(jsonschema.ValidationError):
            _check(document, payload, wrong)


def test_a_secret_in_a_reply_is_no_write_only() -> None:
    token = openapi("odd", odd)["components"]["schemas"]["Made"]["properties"]["token"]
    assert token == {"type": "string", "format": "password"}


def test_what_may_be_left_out_is_not_required_and_never_null() -> None:
    schema = _body_schema("odd", "/odd", "post")
    assert schema["required"] == ["colour", "kind", "sizes", "share", "first", "second"]
    assert schema["properties"]["maybe"] == {"type": "integer", "maximum": 7}
    assert schema["properties"]["named-so"]["default"] == 2
    assert schema["additionalProperties"] is False


def test_a_rule_is_about_the_number_and_not_about_null() -> None:
    number, null = _body_schema("odd", "/odd", "post")["properties"]["share"]["anyOf"]
    assert (number["multipleOf"], number["minimum"]) == (Decimal("0.1"), -5)
    assert null == {"type": "null"}


def test_a_reply_has_all_its_fields_but_those_that_are_unset() -> None:
    made = openapi("odd", odd)["components"]["schemas"]["Made"]
    assert made["required"] == ["inside", "token", "price", "message"]


def test_what_the_path_says_is_not_in_the_body() -> None:
    update = openapi("catalog", catalog)["paths"]["/products/{product_id}"]["put"]
    body = update["requestBody"]["content"]["application/json"]["schema"]
    optional = ["sku", "tags", "description", "attributes"]
    as_read = ["expected_version", "id", "version", "available", "updated_at"]
    assert list(body["properties"]) == ["name", "price", "quantity", *optional, *as_read]
    assert body["examples"][0].keys() == {"name", "price", "quantity"}  # a version would be a guess
    assert "product_id" not in body["examples"][0]
    assert [(each["name"], each["in"]) for each in update["parameters"]] == [
        ("product_id", "path"),
        ("If-Match", "header"),
        ("Idempotency-Key", "header"),
        ("Prefer", "header"),
    ]


def test_a_query_takes_its_other_fields_from_the_query_string() -> None:
    found = {each["name"]: each for each in openapi("odd", odd)["paths"]["/odd/{width}"]["get"]["parameters"]}
    assert {name: (each["in"], each.get("required")) for name, each in found.items()} == {
        "width": ("path", True),
        "colour": ("query", False),
        "word": ("query", False),
        "If-None-Match": ("header", None),
        "Prefer": ("header", None),
    }
    assert found["word"]["schema"] == {"type": "string", "pattern": "^[a-z]+$", "default": "a"}


def test_what_is_made_links_to_its_routes() -> None:
    created = openapi("catalog", catalog)["paths"]["/products"]["post"]["responses"]["201"]
    link = {"operationId": "catalog.get_product", "parameters": {"product_id": "$response.body#/product/id"}}
    assert created["links"]["GetProduct"] == link
    assert set(created["links"]) == {"GetProduct", "UpdateProduct", "PatchProduct", "DeleteProduct"}
    assert links_of(Make, [Ask])["Ask"]["parameters"] == {"width": "$response.body#/inside/width"}
    assert links_of(catalog.GetProduct, [catalog.GetProduct]) == {}


def test_refusals_have_their_statuses_and_codes() -> None:
    responses = openapi("auth", auth)["paths"]["/register"]["post"]["responses"]
    conflict = responses["409"]["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]
    assert conflict["code"]["enum"] == ["in-progress", "auth.username_taken", "auth.email_taken"]
    assert "410" in openapi("odd", odd)["paths"]["/odd"]["post"]["responses"]
    replies = asyncapi("odd", odd)["channels"]["odd.make.reply"]["messages"]
    assert list(replies) == ["done", "accepted", "Gone", "problem"]
    assert replies["Gone"]["headers"]["properties"]["status"] == {"const": 410}
    assert (replies["Gone"]["summary"], replies["Gone"]["description"]) == ("It is gone.", "It does not come back.")


def test_statuses_that_cannot_happen_are_not_documented() -> None:
    paths = openapi("catalog", catalog)["paths"]
    # A token is read only for deleted products.
    listed = {"200", "304", "400", "401", "403", "405", "422", "500", "503", "504"}
    assert set(paths["/products"]["get"]["responses"]) == listed
    created = {"201", "202", "400", "401", "403", "405", "409", "413", "415", "422", "500", "503"}
    assert set(paths["/products"]["post"]["responses"]) == created


def test_every_front_end_has_outcomes_and_health() -> None:
    assert {"/operations/{message_id}", "/health/live", "/health/ready"} <= openapi("odd", odd)["paths"].keys()


def test_queues_events_and_dead_letters_are_channels() -> None:
    document = asyncapi("odd", odd)
    queues = {name: each["bindings"]["amqp"] for name, each in document["channels"].items() if "bindings" in each}
    made = {"name": "odd.make", "durable": True, "exclusive": False, "autoDelete": False}
    assert queues["odd.make"]["queue"] == made
    assert queues["odd.thing"]["exchange"]["name"] == "bus.events"
    assert queues.keys() == {
        *("odd.ping", "odd.get_outcome", "odd.get_sealing_key"),
        *("odd.make", "odd.ask", "odd.enter", "odd.unrouted", "odd.thing", "odd.dead"),
    }
    actions = {name: each["action"] for name, each in document["operations"].items()}
    assert (actions["odd.make"], actions["odd.thing"], actions["odd.dead"]) == ("receive", "send", "send")
    modes = {name: each["bindings"]["amqp"]["deliveryMode"] for name, each in document["operations"].items()}
    assert (modes["odd.make"], modes["odd.ask"]) == (2, 1)


def test_what_handlers_call_of_other_services_is_sent_with_its_callers() -> None:
    document = asyncapi("feed", feed, {"feed.list_entries": [ReserveStock, GetProduct], "feed.send": [ReserveStock]})
    official = json.loads((VENDORED / "asyncapi-3.0.0.json").read_text())
    jsonschema.Draft7Validator(official).validate(json.loads(as_text(document)))
    called = document["operations"]["catalog.reserve_stock.call"]
    assert (called["action"], called["x-called-by"]) == ("send", ["feed.list_entries", "feed.send"])
    assert called["channel"]["$ref"] == "#/channels/catalog.reserve_stock"
    assert "InsufficientStock" in document["channels"]["catalog.reserve_stock.reply"]["messages"]
    assert document["operations"]["catalog.get_product.call"]["x-called-by"] == ["feed.list_entries"]
    without = asyncapi("feed", feed, {})
    assert {**without["operations"], **document["operations"]} == document["operations"]
    assert not breaks((openapi("feed", feed), document), (openapi("feed", feed), without))


def test_the_document_of_an_installed_service_has_what_it_calls_and_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    named = EntryPoint("orders", "orders.main:application", "bus.services")
    monkeypatch.setattr("bus.contract.installed.named_services", lambda: EntryPoints([named]))
    operations = asyncapi("orders", orders)["operations"]
    assert operations["catalog.reserve_lines.call"]["x-called-by"] == ["orders.place_order"]
    assert operations["catalog.change_stock.call"]["x-called-by"] == ["orders.send"]


def test_a_service_without_secrets_and_tokens_has_no_sealing_key() -> None:
    assert "feed.get_sealing_key" not in asyncapi("feed", feed)["channels"]


def test_amounts_are_numbers_with_both_digits() -> None:
    assert '"price": 9.90' in as_text(openapi("catalog", catalog))
    assert '"multipleOf": 0.01' in as_text(asyncapi("catalog", catalog))


@both
def test_the_command_prints_the_same_in_every_process_and_connects_to_nothing(make: Any, tmp_path: Path) -> None:
    """This process has a hash seed of its own, so an order that depends on it is found."""
    environment = {**os.environ, "PYTHONHASHSEED": "1", "BUS_URL": "amqp://192.0.2.1", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "bus.cli", "contract", make.__name__, "auth"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=RUN_SECONDS)
    assert run.stdout == as_text(make("auth", auth))
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    result = CliRunner().invoke(bus, ["contract", "openapi", "catalog", "--output", str(file)])
    assert (result.exit_code, result.output) == (0, "")
    assert file.read_text() == as_text(openapi("catalog", catalog))


def _read(document: dict[str, Any]) -> dict[str, Any]:
    """The document after writing and reading its text, with exact numbers."""
    read: dict[str, Any] = read_exactly(as_text(document))
    return read


def _body_schema(name: str, path: str, method: str) -> dict[str, Any]:
    operation = openapi(name, CONTRACTS[name])["paths"][path][method]
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects of a document but those inside examples."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name != "examples":
                yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {"allOf": [schema], "components": document.get("components", {})}
    jsonschema.Draft202012Validator(whole).validate(value)


def _bad_bodies(operation: Any) -> list[bytes]:
    missing = [b"{}"] if any(field.required for field in msgspec.structs.fields(operation)) else []
    return [*missing, encode_fields({**example_of(operation), "unknown": 1})]


def _refused(body: bytes, operation: Any) -> Any:
    with pytest.raises(Invalid) as refused:
        decode(body, operation)
    error: ProblemError = refused.value
    return error.problem


def test_a_refusal_has_its_members_in_both_documents() -> None:
    path = openapi("catalog", catalog)["paths"]["/products/{product_id}/reservations"]["post"]
    conflict = path["responses"]["409"]["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]
    assert conflict["available"] == {"type": "integer"}
    reply = asyncapi("catalog", catalog)["channels"]["catalog.reserve_stock.reply"]["messages"]["InsufficientStock"]
    assert reply["payload"]["allOf"][1]["properties"]["available"] == {"type": "integer"}


def test_a_body_may_be_left_out_where_the_path_has_all_fields() -> None:
    paths = openapi("catalog", catalog)["paths"]
    assert not paths["/reservations/{reservation_id}/commit"]["post"]["requestBody"]["required"]
    assert paths["/reservations"]["post"]["requestBody"]["required"]
