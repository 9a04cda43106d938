"""Properties of admission: whatever a message is, it becomes a call or is invalid, and no refusal tells a secret."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from auth.contract import Register
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.dead_letters.body import without_secrets
from bus.messaging.call import Call
from bus.messaging.message import Message
from bus.messaging.replies import EncodedReply
from bus.security.unsealer import Unsealer
from bus.worker.admission import admit
from catalog.contract import CreateProduct, ListProducts, UpdateProduct

PASSWORD = "correct horse battery"
VALID: dict[type[Operation[Any]], dict[str, Any]] = {
    CreateProduct: {"name": "Lamp", "price": 9.9, "quantity": 3},
    UpdateProduct: {"product_id": 1, "name": "Lamp"},
    ListProducts: {"limit": 5, "cursor": "7"},
    Register: {"username": "ann", "email": "ann@example.com", "password": PASSWORD},
}
KNOWN = ["application/json", "utf-8", "gzip", "amq.gen-1", "x" * 255]
# What a sender can write into a property: text of AMQP's short strings, as far as it comes through as text.
PROPERTY = st.none() | st.text(max_size=60) | st.sampled_from(KNOWN)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
OPERATIONS = st.sampled_from(list(VALID))


@st.composite
def one_byte_wrong(draw: st.DrawFn) -> tuple[type[Operation[Any]], bytes]:
    """A valid body with one byte changed."""
    operation = draw(OPERATIONS)
    body = bytearray(json.dumps(VALID[operation]).encode())
    body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return operation, bytes(body)


@st.composite
def one_field_wrong(draw: st.DrawFn) -> tuple[type[Operation[Any]], bytes]:
    """A valid body with one field changed, added or taken away."""
    operation = draw(OPERATIONS)
    fields = dict(VALID[operation])
    name = draw(st.sampled_from([*fields, "sealed", "role"]) | st.text(st.characters(), max_size=8))
    if draw(st.booleans()):
        fields[name] = draw(VALUES)
    else:
        fields.pop(name, None)
    return operation, json.dumps(fields).encode()


ANYTHING = st.tuples(OPERATIONS, st.binary(max_size=200))
UNSEALER = Unsealer(dict)


@given(
    st.one_of(one_byte_wrong(), one_field_wrong(), ANYTHING),
    st.builds(dict, message_id=PROPERTY, reply_to=PROPERTY, content_type=PROPERTY, content_encoding=PROPERTY),
)
def test_any_message_becomes_a_call_or_is_invalid(
    sent: tuple[type[Operation[Any]], bytes], properties: dict[str, Any]
) -> None:
    operation, body = sent
    _admitted(operation, body, properties)


@given(st.one_of(one_byte_wrong(), one_field_wrong(), ANYTHING))
def test_a_body_with_a_mistake_is_a_call_or_invalid(sent: tuple[type[Operation[Any]], bytes]) -> None:
    operation, body = sent
    call = _admitted(operation, body, {})
    if call is not None:
        assert type(call.request) is operation
        assert len(call.digest) == 32 + 4 * (1 + len(operation.__struct_fields__))


@given(one_byte_wrong() | one_field_wrong())
def test_no_refusal_and_no_dead_letter_tells_the_password(sent: tuple[type[Operation[Any]], bytes]) -> None:
    message = Message(queue="auth.register", body=sent[1])
    assert PASSWORD.encode() not in without_secrets(message, Register)
    assert PASSWORD.encode() not in _refusal_of(message)


def _refusal_of(message: Message) -> bytes:
    """What the sender is told; nothing when it is not refused."""
    try:
        admit(message, Register, UNSEALER)
    except Invalid as refused:
        return EncodedReply.problem(refused.problem).body
    return b""


def _admitted(operation: type[Operation[Any]], body: bytes, properties: dict[str, Any]) -> Call | None:
    """The call; None for what is refused, with a problem that can be told."""
    message = Message(queue=operation.operation_name, body=body, **properties)
    try:
        return admit(message, operation, UNSEALER)
    except Invalid as refused:
        answer = EncodedReply.problem(refused.problem)
        problem = json.loads(answer.body)
        assert problem["status"] == answer.status in (400, 413, 415, 422)
        return None
