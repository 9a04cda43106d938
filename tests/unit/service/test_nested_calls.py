"""Nested calls: the message id and the token that a handler's call to another service has."""

from typing import Any

import pytest

from bus.contract.events import Event
from bus.contract.identity import ANONYMOUS
from bus.contract.operations import Command, Reply
from bus.messaging.call import Call
from bus.service.nested_calls import NestedCalls
from bus.service.work import Work


class Done(Reply):
    """Nothing."""


class Ask(Command[Done], name="shop.ask"):
    """Its handler calls."""


class Cancel(Command[Done], name="shop.cancel"):
    """Its handler calls too."""


class Give(Command[Done], name="store.give"):
    """Is called."""


class Given(Event, name="store.given"):
    version: int


class GiveGuarded(Command[Done], name="store.give_guarded", needs=""):
    """Is called too, and reads tokens."""


class _Client:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def call(self, request: object, **options: Any) -> Done:
        self.sent.append(options)
        return Done()


def test_the_token_of_the_caller_is_opened_for_an_operation_that_reads_it() -> None:
    client, opened = _Client(), list[Call]()

    def token_of(call: Call) -> str:
        opened.append(call)
        return call.authorization

    nested: Any = NestedCalls(lambda: client, token_of, "shop", "")  # type: ignore[arg-type, return-value]
    call = Call(Ask, Ask(), "a", authorization="t0ken")
    for number, request in enumerate((Give(), GiveGuarded()), 1):
        nested.ask(call, request, number, 5)
    assert [each["token"] for each in client.sent] == [None, "t0ken"]
    assert opened == [call]


def test_an_id_follows_from_the_command_and_the_place_of_the_call() -> None:
    call = Call(Ask, Ask(), "a")
    assert call.derived_id(Give, 1) == Call(Ask, Ask(), "a").derived_id(Give, 1)
    others = {call.derived_id(Give, 2), Call(Ask, Ask(), "b").derived_id(Give, 1)}
    assert call.derived_id(Give, 1) not in others


@pytest.mark.parametrize(
    "calls", [(), (Call(Given, Given(version=1), "a", kind="event"),)], ids=["a periodic function", "a listener"]
)
def test_what_must_not_wait_for_others_learns_what_to_do_instead(calls: tuple[Call, ...]) -> None:
    work: Any = Work(None, ANONYMOUS, "shop", calls)  # type: ignore[arg-type]  # it needs no transaction
    with pytest.raises(TypeError, match=r"store\.give cannot be called here.* sends a command instead \(work\.send\)"):
        work.call(Give())
