"""The fields of a request, reply or event, for people to read."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from msgspec import inspect

from bus.contract.codec import encode_fields
from bus.contract.fields import rules_of, secrets_of
from bus.contract.words import in_words

# How deep fields inside fields are listed. A type may contain itself.
MAX_DEPTH = 4


@dataclass(frozen=True)
class FieldInWords:
    """A field. The name of a field inside another one is a path: `product.id`, `products[].id`.

    `default` is JSON, and empty without a default. A sender may leave out a field unless `is_required`; replies and
    events of a service lack a field only if `may_be_absent`.
    """

    name: str
    kind: str
    is_required: bool
    default: str = ""
    is_secret: bool = False
    may_be_absent: bool = False


def fields_in_words(declared: type[msgspec.Struct]) -> tuple[FieldInWords, ...]:
    """All fields of a class, and the fields inside them, in the order of their declaration."""
    return tuple(_fields(declared, "", 0))


def _fields(declared: type[msgspec.Struct], prefix: str, depth: int) -> Iterator[FieldInWords]:
    rules = {field.name: field.rules for field in rules_of(declared)}
    for field in msgspec.structs.fields(declared):
        info, name = inspect.type_info(field.type), f"{prefix}{field.encode_name}"
        kind = in_words(info, rules.get(field.name, ()))
        secret, absent = field.name in secrets_of(declared), field.default is msgspec.UNSET
        yield FieldInWords(name, kind, field.required, _default(field), secret, absent)
        if depth < MAX_DEPTH:
            for inner, suffix in _inside(info):
                yield from _fields(inner, f"{name}{suffix}.", depth + 1)


def _inside(info: inspect.Type) -> Iterator[tuple[type[msgspec.Struct], str]]:
    if isinstance(info, inspect.StructType):
        yield info.cls, ""
    elif isinstance(info, inspect.Metadata):
        yield from _inside(info.type)
    elif isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _inside(each)
    elif isinstance(info, inspect.CollectionType):
        for inner, suffix in _inside(info.item_type):
            yield inner, f"[]{suffix}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return "" if default in (msgspec.NODEFAULT, msgspec.UNSET) else encode_fields({"": default})[4:-1].decode()
