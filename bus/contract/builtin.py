"""The operations that every service has: a ping, the outcome of a command, the key to seal secrets to."""

import types
from datetime import datetime
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bus.contract.operations import Query, Reply

# The end of the name of every service's ping.
PING = ".ping"


class Pong(Reply):
    """`database` is the kind of database that answered, `time` the worker's clock, in UTC."""

    service: Annotated[str, Meta(examples=["catalog"])]
    database: Annotated[str, Meta(examples=["postgresql"])]
    time: datetime


@cache
def ping_of(service: str) -> type[Query[Pong]]:
    """The ping of a service: a query named `SERVICE.ping`, without fields."""
    body = {"__doc__": "Whether a worker of this service answers, and its database."}
    declared: type[Query[Pong]] = types.new_class(
        "Ping", (Query[Pong],), {"name": f"{service}.ping"}, lambda namespace: namespace.update(body)
    )
    return declared


def is_ping(queue: str) -> bool:
    """Whether a queue is that of a service's pings."""
    return queue.endswith(PING)


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


# 32 bytes in base64url (RFC 7518, section 6.2.1.2).
_Coordinate = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]


class PublicJwk(msgspec.Struct, frozen=True):
    """The half of a pair that everybody may know."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[_Coordinate, msgspec.Meta(examples=["MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"])]
    y: Annotated[_Coordinate, msgspec.Meta(examples=["4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"])]


class SealingKey(Reply):
    """The public key (RFC 7517) and how to seal with it: `alg` and `enc` are what the JWE must use."""

    kid: Annotated[str, Meta(examples=["cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"])]
    alg: Annotated[str, Meta(examples=["ECDH-ES"])]
    enc: Annotated[str, Meta(examples=["A256GCM"])]
    jwk: PublicJwk


@cache
def sealing_key_query_of(service: str) -> type[Query[SealingKey]]:
    """The query named `SERVICE.get_sealing_key`, which every service has that takes secrets."""
    body = {"__doc__": "The key to seal the secrets of a request to."}
    declared: type[Query[SealingKey]] = types.new_class(
        "GetSealingKey",
        (Query[SealingKey],),
        {"name": f"{service}.get_sealing_key"},
        lambda namespace: namespace.update(body),
    )
    return declared
