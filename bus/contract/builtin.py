"""The queries that every service answers: a ping, the outcome of a command, and the key to seal secrets to."""

import types
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.operations import Authentication, Query, Reply

MESSAGE_ID_PATTERN = r"^[\x21-\x7e]{1,255}$"
MessageId = Annotated[str, Meta(pattern=MESSAGE_ID_PATTERN, examples=["order-4711"])]

# 32 bytes in base64url (RFC 7518, section 6.2.1.2).
_Coordinate = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]

# The end of the name of every service's ping.
PING = ".ping"


class Pong(Reply):
    """`database` is the kind of database that answered, `time` the worker's clock, in UTC.

    `commands_wait` says why the database lets no command be carried out now, though queries are answered.
    """

    service: Annotated[str, Meta(examples=["catalog"])]
    database: Annotated[str, Meta(examples=["postgresql"])]
    time: datetime
    commands_wait: Annotated[str, Meta(examples=["The database takes no writes: it is read-only."])] | UnsetType = UNSET


class Ping(Query[Pong]):
    """Whether a worker of this service answers, and its database."""


class CommandOutcome(Reply):
    """`pending` until the command is done; then `done`, with its reply.

    `dead` when the command became a dead letter, with the `reason`; `discarded` when an operator decided not to
    carry it out. A dead letter that was sent again is `pending` again.
    """

    id: str
    state: Literal["pending", "done", "dead"]
    status: int | None = None
    reply: msgspec.Raw | None = None
    reason: str | UnsetType = UNSET
    discarded: bool | UnsetType = UNSET


class GetOutcome(Query[CommandOutcome]):
    """Ask what became of the command with this message id.

    Ids of accounts are stored for each account separately: send the token of the one that sent the command.
    """

    authentication: ClassVar[Authentication] = "optional"

    message_id: MessageId


class PublicJwk(msgspec.Struct, frozen=True):
    """The public half of a key pair (RFC 7517)."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[_Coordinate, Meta(examples=["MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"])]
    y: Annotated[_Coordinate, Meta(examples=["4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"])]


class SealingKey(Reply):
    """The public key (RFC 7517) and how to seal with it: `alg` and `enc` are what the JWE must use."""

    kid: Annotated[str, Meta(examples=["cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"])]
    alg: Annotated[str, Meta(examples=["ECDH-ES"])]
    enc: Annotated[str, Meta(examples=["A256GCM"])]
    jwk: PublicJwk


class GetSealingKey(Query[SealingKey]):
    """The key to seal the secrets of a request to."""


Q = TypeVar("Q", bound=Query[Any])


def builtin_query(service: str, verb: str, query: type[Q]) -> type[Q]:
    """This query under the name that it has for one service, `SERVICE.verb`."""
    body = {"__doc__": query.__doc__}
    name = f"{service}.{verb}"
    return types.new_class(query.__name__, (query,), {"name": name}, lambda namespace: namespace.update(body))


@cache
def ping_of(service: str) -> type[Ping]:
    """The query `SERVICE.ping`, which every service answers."""
    return builtin_query(service, "ping", Ping)


def is_ping(queue: str) -> bool:
    """Whether a queue is the ping queue of a service."""
    return queue.endswith(PING)


@cache
def outcome_query_of(service: str) -> type[GetOutcome]:
    """The query `SERVICE.get_outcome`, which every service answers."""
    return builtin_query(service, "get_outcome", GetOutcome)


@cache
def sealing_key_query_of(service: str) -> type[GetSealingKey]:
    """The query `SERVICE.get_sealing_key`, which every service with secret fields answers."""
    return builtin_query(service, "get_sealing_key", GetSealingKey)
