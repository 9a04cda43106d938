"""Outcomes: what became of a command whose answer its caller did not wait for."""

import types
from functools import cache
from typing import Annotated, Literal

import msgspec

from bus.contract.operations import Query, Reply


class CommandOutcome(Reply):
    """`pending` until the command is done; then `done`, with the answer it got.

    `dead` when it was set aside for a person, with the `reason`; `discarded` when that person decided
    that it shall not be done. One that is sent again is `pending` once more.
    """

    id: str
    state: Literal["pending", "done", "dead"]
    status: int | None = None
    reply: msgspec.Raw | None = None
    reason: str | msgspec.UnsetType = msgspec.UNSET
    discarded: bool | msgspec.UnsetType = msgspec.UNSET


MESSAGE_ID_PATTERN = r"^[\x21-\x7e]{1,255}$"
MessageId = Annotated[str, msgspec.Meta(pattern=MESSAGE_ID_PATTERN, examples=["order-4711"])]


class _GetOutcome(Query[CommandOutcome]):
    """Ask what became of the command with this message id."""

    message_id: MessageId


@cache
def outcome_query_of(service: str) -> type[_GetOutcome]:
    """The query named `SERVICE.get_outcome`, which every service has."""
    body = {"__doc__": _GetOutcome.__doc__}
    return types.new_class(
        "GetOutcome", (_GetOutcome,), {"name": f"{service}.get_outcome"}, lambda namespace: namespace.update(body)
    )
