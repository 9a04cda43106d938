"""Operations: the commands and queries that a service accepts, and their replies."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

from bus.contract.names import is_reply_address
from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal
from bus.contract.routes import Route, route_of

R = TypeVar("R", bound="Reply")

_NONE: Mapping[str, str] = MappingProxyType({})

OperationKind = Literal["command", "transient", "query"]

# Whether a request says who sent it: never, if it has a token, always, or it is signed by an operator.
Authentication = Literal["none", "optional", "required", "operator"]
# What an access token may allow (RFC 6749, section 3.3).
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{0,100}")

# `service.verb_noun`. The words "reply" and "replies" are refused beside this: they mark reply queues (`names.py`).
OPERATION_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class FrozenMeta(msgspec.StructMeta):
    """Makes every subclass frozen and keyword-only, also for type checkers."""

    def __new__(
        mcls, class_name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> "FrozenMeta":
        return super().__new__(mcls, class_name, bases, namespace, **{"frozen": True, "kw_only": True} | options)


class Reply(msgspec.Struct, metaclass=FrozenMeta):
    """What a handler returns. Its fields are the JSON body, over HTTP and in reply messages."""

    def location(self) -> str | None:
        """The path of what was created, for the `Location` header (RFC 9110, section 10.2.2)."""
        return None

    # Where in a reply the number is that changes with what it shows, such as "product.version": its entity tag
    # (RFC 9110, section 8.8.3).
    version_path: ClassVar[str] = ""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class _OperationMeta(FrozenMeta):
    """Accepts the class keywords of operations, which msgspec's own metaclass refuses."""

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
        needs: str | None = None,
        needs_for: Mapping[str, str] = _NONE,
        if_match: str = "",
        files: Mapping[str, str] = _NONE,
        **options: Any,
    ) -> "FrozenMeta":
        cls = super().__new__(mcls, class_name, bases, namespace, **options)
        if http and not name:
            raise TypeError(f"{class_name}: an operation with a route needs a name too, such as catalog.create_product")
        if name:
            _declare(cls, name, status, refuses, http, needs)
        if needs_for:
            _declare_needs_for(cls, needs_for)
        if if_match:
            _declare_if_match(cls, if_match)
        if files:
            _declare_files(cls, files)
        return cls


class Operation(msgspec.Struct, Generic[R], metaclass=_OperationMeta, forbid_unknown_fields=True):
    """The base of all requests. Subclass `Command`, `TransientCommand` or `Query`.

    Class keywords: `name`, the name on the wire and of the queue (`service.verb_noun`); `http`, the route of the
    front end, if there is one (`GET /products/{product_id}`); `status`, the HTTP status of a success; `refuses`, the
    refusals that callers may catch; `needs`, the scope that the caller's access token must have, or "" for any account;
    `needs_for`, the scope that it must have for some optional fields, if they are given and neither false nor null
    (`{"include_deleted": "catalog:write"}`), while the token of other requests is not read;
    `if_match`, the field with the version that the caller knows, which over HTTP is the header `If-Match`;
    `files`, of a `PageQuery`, the paths where a view of the front end has the whole list, with the content type of each
    (`{"/orders.csv": "text/csv"}`).
    """

    operation_name: ClassVar[str] = ""
    success_status: ClassVar[int] = 200
    reply_type: ClassVar[type[Reply]] = Reply
    refusals: ClassVar[Mapping[str, type[Refusal]]] = MappingProxyType({})
    operation_kind: ClassVar[OperationKind] = "query"
    # Whether the broker keeps a request until it is done. If not, it expires when its caller stops waiting.
    is_durable: ClassVar[bool] = False
    http: ClassVar[Route | None] = None
    authentication: ClassVar[Authentication] = "none"
    required_scope: ClassVar[str] = ""
    field_scopes: ClassVar[Mapping[str, str]] = _NONE
    if_match: ClassVar[str] = ""
    files: ClassVar[Mapping[str, str]] = _NONE
    # Fields that the class of the reply must have.
    needed_in_reply: ClassVar[tuple[str, ...]] = ()

    def violations(self) -> Iterable[FieldError]:
        """Faults between fields that are each valid alone. Override it to report some."""
        return ()

    def __repr__(self) -> str:
        """The name of the class alone: a field may be secret, and a log would print it."""
        return f"<{type(self).__name__}>"


class Command(Operation[R], Generic[R]):
    """Changes something. The broker keeps it until it is done, and it is done once."""

    operation_kind: ClassVar[OperationKind] = "command"
    is_durable: ClassVar[bool] = True


class TransientCommand(Operation[R], Generic[R]):
    """Changes something, now or not at all: for what is worth nothing late, such as a log-in.

    Each message is carried out at most once (Birrell and Nelson, "Implementing Remote Procedure Calls", section 3.2):
    it expires when its caller stops waiting, is not retried later, and is answered 503 when the worker that had it was
    lost. Its reply is not stored, so a caller that sends it again sends a new request, whatever its message id. What
    the handler writes and emits commits together, as for a command.
    """

    operation_kind: ClassVar[OperationKind] = "transient"


class Query(Operation[R], Generic[R]):
    """Reads something. It is answered within the caller's time or not at all."""


class Named(Protocol):
    """An operation or event, which has a name on the wire."""

    operation_name: ClassVar[str]


@cache
def service_of(named: type[Named]) -> str:
    """The name of the service that an operation or event belongs to: the part before the dot."""
    return named.operation_name.partition(".")[0]


def operations_in(contract: object) -> list[type[Operation[Any]]]:
    """The operations a contract module declares, in the order of their declaration."""
    found = (value for value in vars(contract).values() if isinstance(value, type) and issubclass(value, Operation))
    return [value for value in found if value.operation_name]


def _declare(cls: Any, name: str, status: int, refuses: Iterable[type[Refusal]], http: str, needs: str | None) -> None:
    if not OPERATION_NAME.fullmatch(name) or is_reply_address(name):
        raise TypeError(f"{cls.__name__}: {name!r} is not an operation name such as 'catalog.create_product'")
    cls.operation_name, cls.success_status, cls.reply_type = name, status, _reply_named_by(cls)
    cls.refusals = MappingProxyType({**cls.refusals, **{refusal.code: refusal for refusal in refuses}})
    if status == 204 and cls.reply_type.__struct_fields__:
        raise TypeError(f"{cls.__name__}: an answer with the status 204 has no body, so its reply can have no fields")
    for field in cls.needed_in_reply:
        if field not in cls.reply_type.__struct_fields__:
            raise TypeError(f"{cls.__name__}: its reply {cls.reply_type.__name__} needs a field {field!r}")
    if needs is not None:
        if not SCOPE.fullmatch(needs):
            raise TypeError(f"{cls.__name__}: needs={needs!r} is not one scope such as 'catalog:write', or empty")
        cls.authentication, cls.required_scope = "required", needs
    cls.http = route_of(cls, http, is_query=cls.operation_kind == "query") if http else None


def _declare_needs_for(cls: Any, scopes: Mapping[str, str]) -> None:
    if cls.authentication == "required":
        raise TypeError(f"{cls.__name__}: `needs` is for all its fields already, so `needs_for` adds nothing")
    for field, scope in scopes.items():
        if field not in cls.__struct_fields__ or not scope or not SCOPE.fullmatch(scope):
            raise TypeError(f"{cls.__name__}: needs_for={{{field!r}: {scope!r}}} is not one of its fields and a scope")
    cls.authentication, cls.field_scopes = "optional", MappingProxyType(dict(scopes))


def _declare_if_match(cls: Any, name: str) -> None:
    if name not in cls.__struct_fields__:
        raise TypeError(f"{cls.__name__}: if_match={name!r} is not one of its fields")
    cls.if_match = name


def _declare_files(cls: Any, files: Mapping[str, str]) -> None:
    if "cursor" not in cls.__struct_fields__ or any(not path.startswith("/") or "{" in path for path in files):
        raise TypeError(f"{cls.__name__}: `files` is for a PageQuery, and has paths such as '/orders.csv'")
    cls.files = MappingProxyType(dict(files))


def _reply_named_by(cls: type) -> type[Reply]:
    bases = (base for ancestor in cls.__mro__ for base in vars(ancestor).get("__orig_bases__", ()))
    for base in bases:
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Operation):
            (reply,) = get_args(base)
            if isinstance(reply, type) and issubclass(reply, Reply):
                return reply
    raise TypeError(f"{cls.__name__}: name the class of its reply, as in Command[ProductCreated]")
