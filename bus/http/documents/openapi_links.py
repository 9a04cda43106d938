"""Links in OpenAPI: from the reply of an operation to the routes of what it created, found by `Reply.location`."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from bus.contract.codec import encode_fields, read_json
from bus.contract.operations import Operation, Reply
from bus.http.documents.examples import known_examples

# Put into one member of a reply, it shows whether the location contains that member.
_MARK = 7919


def links_of(operation: type[Operation[Any]], others: list[type[Operation[Any]]]) -> dict[str, Any]:
    """OpenAPI links from the reply of an operation to the routes that have its `location` as their path."""
    links = {}
    for pointer, path in _marked_locations(operation.reply_type):
        for other in others:
            if other.http is not None and (name := _parameter_in(other.http.path, path)):
                expression = {name: f"$response.body#{pointer}"}
                links[other.__name__] = {"operationId": other.operation_name, "parameters": expression}
    return links


def has_location(reply: type[Reply]) -> bool:
    """Whether replies of this class have the location of what was created."""
    return reply.location is not Reply.location


def _marked_locations(declared: type[Reply]) -> Iterator[tuple[str, str]]:
    """Locations of an example reply with the mark in one member at a time, each with the pointer to the member."""
    for example in known_examples(declared):
        reply = read_json(encode_fields(example), declared)
        for pointer, owner, name in list(_members(reply)):
            value = getattr(owner, name)
            # Forced, because the classes are frozen. The mark may be outside the bounds of the member.
            msgspec.structs.force_setattr(owner, name, type(value)(_MARK))
            yield pointer, reply.location() or ""
            msgspec.structs.force_setattr(owner, name, value)


def _members(value: msgspec.Struct, pointer: str = "") -> Iterator[tuple[str, msgspec.Struct, str]]:
    """The numbers and texts of a struct: JSON pointer (RFC 6901), owner and field name of each."""
    for field in msgspec.structs.fields(value):
        inner, name = getattr(value, field.name), field.encode_name.replace("~", "~0").replace("/", "~1")
        if isinstance(inner, msgspec.Struct):
            yield from _members(inner, f"{pointer}/{name}")
        elif type(inner) in (int, str):
            yield f"{pointer}/{name}", value, field.name


def _parameter_in(path: str, location: str) -> str:
    """The only parameter of a path, if the path with the mark in its place is the location; else empty."""
    names = re.findall(r"\{(\w+)\}", path)
    return names[0] if len(names) == 1 and path.replace(f"{{{names[0]}}}", str(_MARK)) == location else ""
