"""Admission: from a message as anyone may have sent it to a valid call, or a reason why not."""

import json
import pickle
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest

from auth.contract import Register
from bus.contract.exits import Exited
from bus.contract.fields import Secret
from bus.contract.identity import ANONYMOUS
from bus.contract.operations import Command, Operation, Reply
from bus.contract.problems import FieldError, Invalid
from bus.database.trouble import DatabaseUnavailable
from bus.dead_letters.body import without_secrets
from bus.messaging.call import Call
from bus.messaging.message import MAX_BODY_BYTES, Message, check_body, is_undecodable
from bus.security.keys import KeyPair
from bus.security.seal import seal
from bus.security.unsealer import Unsealer
from bus.worker.admission import ContractFailed, admit
from bus.worker.handler_runs import HandlerFailed
from catalog.contract import CreateProduct, DeleteProduct, GetProduct

LAMP = b'{"name": "Lamp", "price": 9.90, "quantity": 3}'
ANN = b'{"username": "ann", "email": "ann@example.com", "password": "correct horse"}'


def _message(body: bytes = LAMP, **properties: Any) -> Message:
    return Message(queue="catalog.create_product", body=body, **properties)


def _refusal_of(message: Message, operation: type[Operation[Any]] = CreateProduct) -> Invalid:
    with pytest.raises(Invalid) as refused:
        admit(message, operation)
    return refused.value


def test_plain_json_without_any_property_is_a_complete_request() -> None:
    call = admit(_message(), CreateProduct)
    assert isinstance(call.request, CreateProduct)
    assert call == Call(CreateProduct, call.request, None, ANONYMOUS)


def test_the_message_id_becomes_the_calls() -> None:
    assert admit(_message(message_id="order/17?#%"), CreateProduct).message_id == "order/17?#%"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json;charset=utf8",
        "application/json;",
        "application/json; version=2",
    ],
)
def test_json_in_utf_8_is_taken_however_it_is_called(content_type: str | None) -> None:
    assert admit(_message(content_type=content_type), CreateProduct)


@pytest.mark.parametrize("encoding", [None, "", "utf-8", "UTF-8", "identity"])
def test_a_body_as_it_is_has_these_encodings(encoding: str | None) -> None:
    assert admit(_message(content_encoding=encoding), CreateProduct)


# The rows of "Messages published straight to a queue" that are decided before anything is carried out:
# (properties, body, status, code, whether the sender's mistake is one that an operator should see)
HOSTILE: dict[str, tuple[dict[str, Any], bytes, int, str, bool]] = {
    "empty body": ({}, b"", 400, "malformed-json", True),
    "truncated json": ({}, LAMP[:-1], 400, "malformed-json", True),
    "invalid utf-8": ({}, b'{"name": "\xff"}', 400, "malformed-json", True),
    "pickle": (
        {"content_type": "application/x-python-serialize"},
        pickle.dumps({}),
        415,
        "unsupported-media-type",
        True,
    ),
    "json called pickle": (
        {"content_type": "application/x-python-serialize"},
        LAMP,
        415,
        "unsupported-media-type",
        True,
    ),
    "yaml": ({"content_type": "application/x-yaml"}, b"!!python/object:x {}", 415, "unsupported-media-type", True),
    "msgpack": ({"content_type": "application/x-msgpack"}, b"\x80", 415, "unsupported-media-type", True),
    "plain text": ({"content_type": "text/plain"}, LAMP, 415, "unsupported-media-type", True),
    "json with another name behind": ({"content_type": "application/jsonx"}, LAMP, 415, "unsupported-media-type", True),
    "json in utf-16": ({"content_type": "application/json; charset=utf-16"}, LAMP, 415, "unsupported-media-type", True),
    "a content type that was binary": ({"content_type": "\x7f"}, LAMP, 415, "unsupported-media-type", True),
    "gzip": ({"content_encoding": "gzip"}, LAMP, 415, "unsupported-encoding", True),
    "binary": ({"content_encoding": "binary"}, LAMP, 415, "unsupported-encoding", True),
    "an encoding that was binary": ({"content_encoding": "\x7f"}, LAMP, 415, "unsupported-encoding", True),
    "nesting": ({}, b'{"name":' + b"[" * 20_000, 400, "json-too-deep", True),
    "NaN": ({}, LAMP.replace(b"9.90", b"NaN"), 400, "malformed-json", True),
    "duplicates": ({}, LAMP.replace(b'"price"', b'"name"'), 400, "duplicate-key", True),
    "no object": ({}, b"[]", 400, "not-an-object", True),
    "missing field": ({}, b'{"name": "Lamp"}', 400, "missing-field", True),
    "NUL": ({}, LAMP.replace(b"Lamp", b"\\u0000"), 422, "invalid-text", False),
    "surrogate": ({}, LAMP.replace(b"Lamp", b"\\ud800"), 422, "invalid-text", False),
    "surrogate in a key": ({}, LAMP.replace(b'{"', b'{"\\ud800": 1, "'), 422, "unknown-field", False),
    "unknown field": ({}, LAMP.replace(b"{", b'{"role": "admin", '), 422, "unknown-field", False),
    "wrong type": ({}, LAMP.replace(b"3", b'"3"'), 422, "wrong-type", False),
    "out of range": ({}, LAMP.replace(b"3", b"-3"), 422, "out-of-range", False),
    "300 KB": ({}, b" " * 300_000 + LAMP, 413, "too-large", True),
    "300 KB of nothing we read": ({}, b"\xff" * 300_000, 413, "too-large", True),
    "a long id": ({"message_id": "x" * 256}, LAMP, 400, "invalid-message-id", True),
    "an empty id": ({"message_id": ""}, LAMP, 400, "invalid-message-id", True),
    "an id with a space": ({"message_id": "a b"}, LAMP, 400, "invalid-message-id", True),
    "an id with a newline": ({"message_id": "a\n"}, LAMP, 400, "invalid-message-id", True),
    "an id with a letter beyond ASCII": ({"message_id": "é"}, LAMP, 400, "invalid-message-id", True),
    "an id that was binary": ({"message_id": "id\x7f"}, LAMP, 400, "invalid-message-id", True),
    "reply to our queue": ({"reply_to": "catalog.create_product"}, LAMP, 400, "reply-to-forbidden", True),
    "reply to another service": ({"reply_to": "auth.register"}, LAMP, 400, "reply-to-forbidden", True),
    "reply to the dead": ({"reply_to": "catalog.dead"}, LAMP, 400, "reply-to-forbidden", True),
    "reply to an exchange": ({"reply_to": "bus.requests"}, LAMP, 400, "reply-to-forbidden", True),
    "reply to binary": ({"reply_to": "\x7f\x7f"}, LAMP, 400, "reply-to-forbidden", True),
    "reply to anything, body no better": ({"reply_to": "auth.register"}, b"", 400, "reply-to-forbidden", True),
}


@pytest.mark.parametrize(("properties", "body", "status", "code", "hopeless"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_are_refused_with_their_code(
    properties: dict[str, Any], body: bytes, status: int, code: str, hopeless: bool
) -> None:
    refused = _refusal_of(_message(body, **properties))
    assert (refused.problem.status, refused.problem.code) == (status, code)
    assert is_undecodable(refused) == hopeless


def test_a_body_of_the_limit_is_read() -> None:
    assert admit(_message(LAMP + b" " * (MAX_BODY_BYTES - len(LAMP))), CreateProduct)
    with pytest.raises(Invalid):
        check_body(None, None, MAX_BODY_BYTES + 1, MAX_BODY_BYTES)


def test_forged_headers_give_no_authority() -> None:
    call = admit(_message(headers={"x-user-id": "1", "role": "admin", "sub": "root", "caller": "root"}), CreateProduct)
    assert call.caller == ANONYMOUS


def test_the_same_request_has_the_same_digest_however_it_is_written() -> None:
    one = admit(_message(), CreateProduct)
    two = admit(_message(b'{"quantity":3,\n"price":9.90,"name":"\\u004camp"}'), CreateProduct)
    other = admit(_message(LAMP.replace(b"3", b"4")), CreateProduct)
    assert one.digest == two.digest
    assert one.digest != other.digest


def test_another_operation_with_the_same_fields_has_another_digest() -> None:
    body = b'{"product_id": 1}'
    assert admit(_message(body), GetProduct).digest != admit(_message(body), DeleteProduct).digest


def test_a_body_is_kept_without_its_secrets() -> None:
    kept = json.loads(without_secrets(_message(ANN), Register))
    assert kept == {"username": "ann", "email": "ann@example.com", "password": "[secret]"}


@pytest.mark.parametrize(
    "body", [ANN[:-1], ANN + b"x", ANN.replace(b"ann@", b"ann "), b"", ANN.replace(b"{", b'{"a": 1, ')]
)
def test_a_body_that_may_hold_secrets_and_cannot_be_read_is_not_kept(body: bytes) -> None:
    kept = without_secrets(_message(body), Register)
    assert b"correct horse" not in kept
    assert isinstance(json.loads(kept), str)


def test_a_body_that_is_too_large_is_not_even_read_to_find_its_secrets() -> None:
    kept = without_secrets(_message(b" " * 300_000 + ANN), Register)
    assert isinstance(json.loads(kept), str)


class Odd(Command[Reply], name="example.odd"):
    """Its contract has a defect."""

    word: str
    password: Annotated[str, Secret()] | None = None

    def violations(self) -> Iterator[FieldError]:
        if self.word == "exit":
            raise SystemExit
        yield FieldError("/word", {}[self.word], "never")


def test_an_error_in_a_contract_is_no_refusal_and_has_its_traceback() -> None:
    with pytest.raises(ContractFailed) as failed:
        admit(_message(b'{"word": "a"}'), Odd)
    assert isinstance(failed.value.error, KeyError)
    assert "in violations" in HandlerFailed(failed.value.error, Odd).traceback
    with pytest.raises(ContractFailed) as failed:
        admit(_message(b'{"word": "exit"}'), Odd)
    assert isinstance(failed.value.error, Exited)


def test_a_body_that_its_contract_could_not_check_is_kept_without_its_secrets() -> None:
    kept = without_secrets(_message(b'{"word": "a", "password": "correct horse"}'), Odd)
    assert json.loads(kept) == {"word": "a", "password": "[secret]"}
    assert json.loads(without_secrets(_message(b'{"word": "a", "password": null}'), Odd))["password"] is None


def test_a_body_without_secrets_is_kept_as_it_came_up_to_the_limit() -> None:
    assert without_secrets(_message(b"\xff not json"), CreateProduct) == b"\xff not json"
    assert len(without_secrets(_message(b"x" * 300_000), CreateProduct)) == MAX_BODY_BYTES


def test_the_operation_with_a_secret_is_known() -> None:
    assert isinstance(admit(_message(ANN), Register).request, Register)


PAIR = KeyPair.new()
CORRECT = {"password": "correct horse"}
OTHERS = {"username": "ann", "email": "ann@example.com"}


def _unsealer(**options: bool) -> Unsealer:
    return Unsealer(lambda: {PAIR.kid: PAIR}, **options)


def _sealed(secrets: Mapping[str, str] = CORRECT, **others: object) -> Message:
    sealed = seal({"request": {**OTHERS, **secrets}}, "auth.register", PAIR.kid, PAIR.public_jwk)
    return _message(json.dumps({**OTHERS, "sealed": sealed, **others}).encode())


def test_a_sealed_request_is_the_same_as_a_plain_one() -> None:
    sealed, again, plain = (admit(each, Register, _unsealer()) for each in (_sealed(), _sealed(), _message(ANN)))
    assert sealed.request == plain.request
    assert sealed.digest == again.digest == plain.digest


def test_what_is_sealed_is_validated_like_everything_and_never_repeated() -> None:
    for secret, code in (
        ("1234567", "out-of-range"),
        ("password1", "weak-password"),
        ("a\u0000bcdefgh", "invalid-text"),
    ):
        with pytest.raises(Invalid) as refused:
            admit(_sealed({"password": secret}), Register, _unsealer())
        assert refused.value.problem.code == code
        assert secret not in str(refused.value.problem)
    with pytest.raises(Invalid) as refused:
        admit(_sealed({}), Register, _unsealer())
    assert (refused.value.problem.status, refused.value.problem.errors[0].pointer) == (400, "/password")


def test_a_database_that_is_away_when_a_key_is_read_is_no_refusal() -> None:
    def read() -> dict[str, KeyPair]:
        raise DatabaseUnavailable("away")

    with pytest.raises(DatabaseUnavailable):
        admit(_sealed(), Register, Unsealer(read))
    assert admit(_message(ANN), Register, Unsealer(read))


def test_an_operation_without_secrets_takes_no_seal() -> None:
    with pytest.raises(Invalid) as refused:
        admit(_message(LAMP[:-1] + b', "sealed": "x"}'), CreateProduct, _unsealer(required=True))
    assert refused.value.problem.code == "unknown-field"


def test_a_sealed_body_is_kept_byte_for_byte() -> None:
    sealed = _sealed()
    assert without_secrets(sealed, Register) is sealed.body


@pytest.mark.parametrize(
    "others",
    [
        {"password": "correct horse"},
        {"sealed": "correct horse"},
        {"sealed": ["correct horse"]},
        {"Password": "correct horse"},
        {"username": {"password": "correct horse"}},
    ],
)
def test_a_body_that_claims_to_be_sealed_and_has_something_readable_is_not_kept(others: dict[str, object]) -> None:
    kept = without_secrets(_sealed(**others), Register)
    assert b"correct horse" not in kept
    assert isinstance(json.loads(kept), str)
