"""The operations that `bus` gives a service: a ping, the outcome of a command, the key to seal secrets to, and the
command that has another one sent."""

import types
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.operations import Authentication, Command, Operation, Query, Reply

MESSAGE_ID_PATTERN = r"^[\x21-\x7e]{1,255}$"
MessageId = Annotated[str, Meta(pattern=MESSAGE_ID_PATTERN, examples=["order-4711"])]

# 32 bytes in base64url (RFC 7518, section 6.2.1.2).
_Coordinate = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]

# The ends of the names of every service's ping, and of the command that has others sent.
PING, SEND = ".ping", ".send"


_NULL = msgspec.Raw(b"null")


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
    reply: msgspec.Raw = msgspec.field(default_factory=lambda: _NULL)
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
    """The public key (RFC 7517) and how to seal with it: `alg` and `enc` are what the JWE must use.

    `signature` is a JWS (RFC 7515) by the service's identity key, of the service's name and `kid`.
    """

    kid: Annotated[str, Meta(examples=["cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"])]
    alg: Annotated[str, Meta(examples=["ECDH-ES"])]
    enc: Annotated[str, Meta(examples=["A256GCM"])]
    jwk: PublicJwk
    signature: Annotated[str, Meta(max_length=2048, examples=["eyJhbGciOiJFUzI1NiIsImp3ayI6e30.e30.AA"])]


class GetSealingKey(Query[SealingKey]):
    """The key to seal the secrets of a request to."""


class Sent(Reply):
    """The other service's reply: its `status`, and the `body`, which is a problem document if it refused."""

    operation: str
    status: int
    body: msgspec.Raw


class Send(Command[Sent]):
    """A command that a handler of this service has sent with `work.send`, on its way to the service that it is for.

    `body` is its JSON.
    """

    operation: Annotated[str, Meta(examples=["catalog.commit_reservation"])]
    body: Annotated[str, Meta(examples=['{"reservation_id":1}'])]


T = TypeVar("T", bound=Operation[Any])


def builtin_operation(service: str, verb: str, operation: type[T]) -> type[T]:
    """This operation under the name that it has for one service, `SERVICE.verb`."""
    body = {"__doc__": operation.__doc__}
    name = f"{service}.{verb}"
    return types.new_class(operation.__name__, (operation,), {"name": name}, lambda namespace: namespace.update(body))


@cache
def ping_of(service: str) -> type[Ping]:
    """The query `SERVICE.ping`, which every service answers."""
    return builtin_operation(service, "ping", Ping)


def is_ping(queue: str) -> bool:
    """Whether a queue is the ping queue of a service."""
    return queue.endswith(PING)


@cache
def outcome_query_of(service: str) -> type[GetOutcome]:
    """The query `SERVICE.get_outcome`, which every service answers."""
    return builtin_operation(service, "get_outcome", GetOutcome)


@cache
def sealing_key_query_of(service: str) -> type[GetSealingKey]:
    """The query `SERVICE.get_sealing_key`, which every service that takes secrets or tokens answers."""
    return builtin_operation(service, "get_sealing_key", GetSealingKey)


@cache
def send_of(service: str) -> type[Send]:
    """The command `SERVICE.send` of a service whose handlers send commands."""
    return builtin_operation(service, "send", Send)


def is_send(queue: str) -> bool:
    """Whether a queue is that of the commands that handlers of a service send."""
    return queue.endswith(SEND)
