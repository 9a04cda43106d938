"""Nested calls: the message id and the token that a handler's call to another service has."""

from typing import Any

import pytest

from bus.contract.operations import Command, Reply
from bus.messaging.call import Call
from bus.service.nested_calls import NestedCalls


class Done(Reply):
    """Nothing."""


class Ask(Command[Done], name="shop.ask"):
    """Its handler calls."""


class Cancel(Command[Done], name="shop.cancel"):
    """Its handler calls too."""


class Give(Command[Done], name="store.give"):
    """Is called."""


class _Client:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def call(self, request: object, **options: Any) -> Done:
        self.sent.append(options)
        return Done()


@pytest.mark.parametrize(
    ("authorization", "token"), [("Bearer t0ken", "t0ken"), ("bearer t0ken", "t0ken"), ("Sealed jwe", None), ("", None)]
)
def test_the_token_of_the_caller_is_passed_on_where_it_is_readable(authorization: str, token: str | None) -> None:
    client: Any = _Client()
    NestedCalls(lambda: client).ask(Call(Ask, Ask(), "a", authorization=authorization), Give(), 1, 5)
    assert client.sent[0]["token"] == token


def test_an_id_follows_from_the_command_and_the_place_of_the_call() -> None:
    call = Call(Ask, Ask(), "a")
    assert call.derived_id(Give, 1) == Call(Ask, Ask(), "a").derived_id(Give, 1)
    others = {call.derived_id(Give, 2), Call(Ask, Ask(), "b").derived_id(Give, 1)}
    assert call.derived_id(Give, 1) not in others
