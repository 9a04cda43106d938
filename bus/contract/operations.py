"""Operations: the declarations of what can be asked of a service, and what it answers."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

from bus.contract.names import is_reply_address
from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal
from bus.contract.routes import Route, route_of

R = TypeVar("R", bound="Reply")

# Lower-case words joined by dots and underscores. The words "reply" and "replies" mark reply queues,
# so that an operation's queue can never be taken for one.
OPERATION_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(msgspec.StructMeta):
    """Makes every subclass frozen and keyword-only, and tells type checkers so."""

    def __new__(
        mcls, class_name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> "FrozenMeta":
        return super().__new__(mcls, class_name, bases, namespace, **{"frozen": True, "kw_only": True} | options)


class Reply(msgspec.Struct, metaclass=FrozenMeta):
    """What a handler answers; a noun. Its fields are the JSON body, over HTTP and in reply messages."""

    def location(self) -> str | None:
        """The path of the thing made, for the `Location` header (RFC 9110, section 10.2.2)."""
        return None


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class _OperationMeta(FrozenMeta):
    """Takes the class keywords of operations, which msgspec's own metaclass refuses."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        name: str = "",
        status: int = 200,
        refuses: Iterable[type[Refusal]] = (),
        http: str = "",
        **options: Any,
    ) -> "FrozenMeta":
        cls = super().__new__(mcls, class_name, bases, namespace, **options)
        if http and not name:
            raise TypeError(f"{class_name}: a route leads to a queue, so name the operation too")
        if name:
            _declare(cls, name, status, refuses, http)
        return cls


class Operation(msgspec.Struct, Generic[R], metaclass=_OperationMeta, forbid_unknown_fields=True):
    """What commands and queries have in common. Subclass `Command` or `Query`.

    Class keywords: `name`, the queue and the name on the wire (`service.verb_noun`); `http`, the route
    of the front end, if it has one (`GET /products/{product_id}`); `status`, the HTTP status of a
    success; `refuses`, the refusals a caller may want to catch.
    """

    operation_name: ClassVar[str] = ""
    success_status: ClassVar[int] = 200
    reply_type: ClassVar[type[Reply]] = Reply
    refusals: ClassVar[Mapping[str, type[Refusal]]] = MappingProxyType({})
    is_command: ClassVar[bool] = False
    http: ClassVar[Route | None] = None

    def violations(self) -> Iterable[FieldError]:
        """What is wrong between fields that are each right alone. Nothing, unless overridden."""
        return ()

    def __repr__(self) -> str:
        """The name alone: fields may be secret, and logs print what they are given."""
        return f"<{type(self).__name__}>"


class Command(Operation[R], Generic[R]):
    """Changes something. Kept by the broker until done, and done once."""

    is_command: ClassVar[bool] = True


class Query(Operation[R], Generic[R]):
    """Asks something. Answered within the caller's time or not at all."""


class Named(Protocol):
    """What has a name on the wire: an operation or an event."""

    operation_name: ClassVar[str]


@cache
def service_of(named: type[Named]) -> str:
    """The name of the service that an operation or event belongs to: the part before the dot."""
    return named.operation_name.partition(".")[0]


def operations_in(contract: object) -> list[type[Operation[Any]]]:
    """The operations a contract module declares, in the order of their declaration."""
    found = (value for value in vars(contract).values() if isinstance(value, type) and issubclass(value, Operation))
    return [value for value in found if value.operation_name]


def _declare(cls: Any, name: str, status: int, refuses: Iterable[type[Refusal]], http: str) -> None:
    if not OPERATION_NAME.fullmatch(name) or is_reply_address(name):
        raise TypeError(f"{cls.__name__}: {name!r} is not an operation name such as 'catalog.create_product'")
    cls.operation_name, cls.success_status, cls.reply_type = name, status, _reply_named_by(cls)
    cls.refusals = MappingProxyType({refusal.code: refusal for refusal in refuses})
    cls.http = route_of(cls, http, is_command=cls.is_command) if http else None


def _reply_named_by(cls: type) -> type[Reply]:
    bases = (base for ancestor in cls.__mro__ for base in vars(ancestor).get("__orig_bases__", ()))
    for base in bases:
        if get_origin(base) in (Command, Query):
            (reply,) = get_args(base)
            if isinstance(reply, type) and issubclass(reply, Reply):
                return reply
    raise TypeError(f"{cls.__name__}: name its reply, as in Command[ProductCreated]")
