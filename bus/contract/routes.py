"""Routes: the HTTP method and path of an operation, declared and checked in its contract. Uses no HTTP library."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import inspect

from bus.contract.fields import secrets_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Requests without a body: fields outside the path come in the query string (RFC 9110, sections 9.3.1 and 9.3.5).
# A DELETE with a secret field has a body all the same, as URLs are logged.
WITHOUT_BODY = ("GET", "DELETE")

# A path of segments, each a word of unreserved characters (RFC 3986, section 2.3) or the name of a field. At its end
# there may be a colon and a verb, for what is done with all that the path is of: `/products:batch`.
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}))+(?::[a-z][a-z0-9-]*)?")
_FIELD = re.compile(r"\{([a-z_][a-z0-9_]*)\}")

_FITS_A_QUERY_STRING = (
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.DecimalType,
    inspect.StrType,
    inspect.LiteralType,
    inspect.EnumType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.UUIDType,
)


@dataclass(frozen=True)
class Route:
    """A method and a path such as `/products/{product_id}`, whose parameters are fields of the operation.

    `has_body`: whether fields that are not in the path come in the body. If not, they come in the query string.
    `needs_body`: whether there are such fields. If not, the body may be left out.
    """

    method: str
    path: str
    has_body: bool = field(default=True, compare=False)
    needs_body: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the fields in the path, in order."""
        return tuple(_FIELD.findall(self.path))


def route_of(declared: type[msgspec.Struct], text: str, *, is_query: bool) -> Route:
    """Parse and check the route of an operation, such as `GET /products/{product_id}`. Raises TypeError."""
    route = _parsed(declared, text)
    if is_query != (route.method == "GET"):
        rule = "a query must be a GET" if is_query else "a command cannot be a GET, which changes nothing"
        raise TypeError(f"{declared.__name__}: {rule}, got {text!r}")
    fields = {field.encode_name: field for field in msgspec.structs.fields(declared)}
    for name in route.parameters:
        if name not in fields:
            raise TypeError(f"{declared.__name__}: {{{name}}} in {text!r} is not one of its fields")
        _check_parameter(declared, fields[name])
    others = [each for name, each in fields.items() if name not in route.parameters]
    has_secret = any(other.name in secrets_of(declared) for other in others)
    if route.method not in WITHOUT_BODY or (route.method == "DELETE" and has_secret):
        return replace(route, needs_body=bool(others))
    for other in others:
        _check_argument(declared, other)
    return replace(route, has_body=False, needs_body=False)


def is_whole_number(field: msgspec.structs.FieldInfo) -> bool:
    """Whether a parameter of a path is a whole number. If not, it is text."""
    return isinstance(_plain(inspect.type_info(field.type)), inspect.IntType)


def _parsed(declared: type[msgspec.Struct], text: str) -> Route:
    method, _, path = text.partition(" ")
    if method not in METHODS:
        raise TypeError(f"{declared.__name__}: the route {text!r} must begin with one of {', '.join(METHODS)}")
    names = _FIELD.findall(path)
    if not _PATH.fullmatch(path) or len(names) != len(set(names)):
        raise TypeError(f"{declared.__name__}: {path!r} is not a path such as '/products/{{product_id}}'")
    return Route(method, path)


def _check_parameter(declared: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> None:
    is_plain = isinstance(_plain(inspect.type_info(field.type)), inspect.IntType | inspect.StrType)
    if not field.required or not is_plain:
        raise TypeError(f"{declared.__name__}: {field.name} is in the path, so it must be a required int or str")
    _check_not_secret(declared, field)


def _check_argument(declared: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> None:
    if not _fits_a_query_string(inspect.type_info(field.type)):
        raise TypeError(
            f"{declared.__name__}: {field.name} comes in the query string, so it must be text, a number or a boolean"
        )
    _check_not_secret(declared, field)


def _check_not_secret(declared: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> None:
    """Proxies log URLs."""
    if field.name in secrets_of(declared):
        raise TypeError(f"{declared.__name__}: {field.name} is secret, so it cannot come in the URL")


def _fits_a_query_string(info: inspect.Type) -> bool:
    if isinstance(info, inspect.UnionType):
        return all(map(_fits_a_query_string, (each for each in info.types if not isinstance(each, inspect.NoneType))))
    return isinstance(_plain(info), _FITS_A_QUERY_STRING)


def _plain(info: inspect.Type) -> Any:
    return _plain(info.type) if isinstance(info, inspect.Metadata) else info
