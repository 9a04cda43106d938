"""Services: what a type checker would say is said at import, for those who run none."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest
from sqlalchemy import Connection
from support.event_services import WordAdded
from support.example_service import Count, Counted, Keep, Kept, make_service

from bus.contract.fields import Secret
from bus.contract.operations import Command
from bus.contract.operator.operations import operator_operations
from bus.contract.refusals import Refusal, Refused
from bus.database.past_events import PastEvent
from bus.service.handler import CALLING_THREADS
from bus.service.service import Service
from bus.service.work import Work
from catalog.contract import CreateProduct, GetProduct


class Lock(msgspec.Struct):
    code: Annotated[str, Secret()]


class Close(Command[Kept], name="example.close"):
    lock: Lock


class Wrap(Command[Kept], name="example.wrap"):
    sealed: str
    code: Annotated[str, Secret()]


class Undeclared(Command[Kept]):
    word: str


def test_a_service_has_operations_before_any_handler() -> None:
    own = list(Service("shop").operations)
    assert own[:3] == ["shop.ping", "shop.get_outcome", "shop.get_state"]
    assert own[2:] == [each.operation_name for each in operator_operations("shop").values()]


def test_a_service_that_takes_secrets_gives_out_a_key_and_no_other_does() -> None:
    assert "example.get_sealing_key" in make_service().operations
    assert make_service().takes_secrets
    assert not Service("shop").takes_secrets


def test_a_secret_that_could_not_be_sealed_is_a_type_error() -> None:
    def close(command: Close, work: Work) -> Kept: ...
    def wrap(command: Wrap, work: Work) -> Kept: ...

    with pytest.raises(TypeError, match=r"example\.close: only fields of its own can be secret"):
        Service("example").handles(Close)(close)
    with pytest.raises(TypeError, match=r"example\.wrap: a field cannot be called 'sealed'"):
        Service("example").handles(Wrap)(wrap)


def test_past_events_come_from_one_function_of_the_service_that_emits_them() -> None:
    def none(_connection: Connection, _since: datetime, _after: int, _most: int) -> list[PastEvent]:
        return []

    service = Service("emitter")
    assert service.past_events(WordAdded)(none) is none
    assert service.past is not None
    assert (service.past.names, service.past.function) == ({"emitter.word_added"}, none)
    with pytest.raises(TypeError, match="emitter: past events come from one function"):
        service.past_events(WordAdded)(none)
    with pytest.raises(TypeError, match="shop: past events come from one function, for at least one"):
        Service("shop").past_events()(none)
    with pytest.raises(TypeError, match=r"emitter\.word_added does not belong to the service shop"):
        Service("shop").past_events(WordAdded)(none)


@pytest.mark.parametrize("name", ["", "Shop", "my shop", "shop.a", "reply", "replies", "1"])
def test_a_name_that_makes_no_queue_name_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError):
        Service(name)


def test_an_operation_of_another_service_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"catalog\.create_product does not belong to the service example"):
        Service("example").handles(CreateProduct)


def test_an_operation_without_a_name_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="does not belong"):
        Service("example").handles(Undeclared)


def test_a_second_handler_is_a_type_error() -> None:
    def keep(command: Keep, work: Work) -> Kept: ...

    with pytest.raises(TypeError, match=r"example\.keep has a handler already"):
        make_service().handles(Keep)(keep)


def _no_annotations(command, work): ...  # type: ignore[no-untyped-def]
def _another_request(command: Count, work: Work) -> Kept: ...
def _another_reply(command: Keep, work: Work) -> Counted: ...
def _no_reply(command: Keep, work: Work): ...  # type: ignore[no-untyped-def]
def _none(command: Keep, work: Work) -> None: ...
def _one_parameter(command: Keep) -> Kept: ...
def _three_parameters(command: Keep, work: Work, more: int) -> Kept: ...
def _a_list(command: list[Keep], work: Work) -> Kept: ...
def _one(command: Keep, work: Work) -> Sequence[Kept | Refusal]: ...
def _a_list_of_another(command: list[Count], work: Work) -> Sequence[Kept | Refusal]: ...


@pytest.mark.parametrize(
    "function",
    [_no_annotations, _another_request, _another_reply, _no_reply, _none, _one_parameter, _three_parameters, _a_list],
)
def test_a_handler_with_another_signature_is_a_type_error(function: Any) -> None:
    with pytest.raises(TypeError, match=function.__name__):
        Service("example").handles(Keep)(function)


@pytest.mark.parametrize("function", [_no_annotations, _one, _a_list_of_another])
def test_a_handler_of_many_with_another_signature_is_a_type_error(function: Any) -> None:
    with pytest.raises(TypeError, match=function.__name__):
        Service("example").handles_many(Keep)(function)


def test_a_handler_is_returned_as_it_was() -> None:
    def keep(command: Keep, work: Work) -> Kept: ...

    service = Service("example")
    assert service.handles(Keep)(keep) is keep
    assert service.handlers["example.keep"].function is keep


def test_a_handler_that_calls_others_has_threads_and_its_service_knows_what_it_calls() -> None:
    service = Service("example")
    service.handles(Count, threads=2)(_count)
    service.handles(Keep, calls=[CreateProduct, GetProduct])(_keep)
    assert service.calls == {"example.keep": (CreateProduct, GetProduct)}
    assert [handler.threads for handler in service.handlers.values()] == [2, CALLING_THREADS]
    assert service.threads == 2 + CALLING_THREADS


@pytest.mark.parametrize(
    ("operation", "called", "expected"),
    [
        (Keep, Undeclared, "which is no operation"),
        (Keep, "catalog.create_product", "which is no operation"),
        (Keep, Count, "of its own service: call its function instead"),
        (Count, CreateProduct, "a query may only call queries"),
    ],
)
def test_what_a_handler_cannot_call_is_a_type_error(operation: Any, called: Any, expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        Service("example").handles(operation, calls=[called])


def _keep(command: Keep, work: Work) -> Kept: ...
def _count(query: Count, work: Work) -> Counted: ...


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (GetProduct, r"catalog\.get_product, a query: only commands are kept"),
        (Close, r"example\.close, which has secret fields"),
        (Undeclared, "which is no operation"),
        (Kept, "which is no operation"),
    ],
)
def test_what_cannot_be_sent_is_a_type_error(sent: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        Service("shop", sends=[sent])


def test_a_refusal_has_one_function_of_a_command_that_is_sent() -> None:
    shop = Service("shop", sends=[CreateProduct])

    def refused(command: CreateProduct, refusal: Refusal | Refused, work: Work) -> None: ...
    def without_a_refusal(command: CreateProduct, work: Work) -> None: ...
    def other(command: Count, refusal: Refusal | Refused, work: Work) -> None: ...

    with pytest.raises(TypeError, match="annotate its parameters"):
        shop.on_refused(CreateProduct)(without_a_refusal)
    shop.on_refused(CreateProduct)(refused)
    for function, command in ((refused, CreateProduct), (other, Count)):
        with pytest.raises(TypeError, match="such a function already, or is not among the `sends`"):
            shop.on_refused(command)(function)  # type: ignore[arg-type]


def test_a_service_that_sends_has_a_queue_for_it_and_no_other_does() -> None:
    assert "shop.send" in Service("shop", sends=[CreateProduct]).operations
    assert "shop.send" not in Service("shop").operations


def test_a_wrong_signature_is_named_in_the_words_of_its_source() -> None:
    def refused(command: Keep, work: Work) -> None: ...

    with pytest.raises(TypeError) as found:
        Service("shop", sends=[Keep]).on_refused(Keep)(refused)
    assert str(found.value) == "refused: annotate its parameters as (Keep, Refusal | Refused, Work)"
    with pytest.raises(TypeError, match=re.escape("_one: annotate its parameters as (list[Keep], Work)")):
        Service("example").handles_many(Keep)(_one)
    with pytest.raises(TypeError, match=r"_another_reply must return Kept, not Counted$"):
        Service("example").handles(Keep)(_another_reply)
