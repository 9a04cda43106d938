"""Differences of schemas: what one schema allows and another does not.

For requests, callers send what the old schema allows, and the new schema must accept it. For replies and events, the
service sends what the new schema allows, and readers expect the old one. So one comparison serves both directions.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from bus.http.documents.schemas import TEXT, Schema

# (for a request, for a reply or event)
_GONE = ("is no longer accepted", "is no longer sent")
_REQUIRED = ("is required now", "may be missing now")
_TYPE = _VALUE = ("no longer accepts {}", "may be {} now")
_BOUND = ("accepts less: {}", "allows more: {}")

_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_SAME = ("pattern", "format")
_TEXT_BOUNDS = {"minLength": ge, "maxLength": le}
_NUMBER_BOUNDS = {"minimum": ge, "maximum": le, "exclusiveMinimum": gt, "exclusiveMaximum": lt}


@dataclass(frozen=True)
class Loss:
    """What a caller or reader loses. `field` is a JSON pointer (RFC 6901), empty for the whole body."""

    field: str
    reason: str


@dataclass(frozen=True)
class Side:
    """A schema, and the document that its references point into."""

    schema: Schema
    document: dict[str, Any]

    def at(self, schema: Schema) -> "Side":
        """Another schema of the same document."""
        return Side(schema, self.document)

    def kinds(self) -> "list[Side]":
        """The alternatives of the schema, with references resolved."""
        schema = self.schema
        if "$ref" in schema:
            *_, name = schema["$ref"].split("/")
            return self.at(self.document["components"]["schemas"][name]).kinds()
        choices = schema.get("anyOf") or schema.get("oneOf")
        return [kind for each in choices for kind in self.at(each).kinds()] if choices else [self]

    @property
    def types(self) -> set[str]:
        """The JSON types that it allows; empty for any."""
        if "const" in self.schema or "enum" in self.schema:
            return set(map(_type_of, self.values))
        return {self.schema["type"]} if "type" in self.schema else set()

    @property
    def values(self) -> list[Any]:
        """The values that it lists; empty when it does not list them."""
        return [self.schema["const"]] if "const" in self.schema else list(self.schema.get("enum", ()))


def losses(given: Side, taken: Side, *, is_output: bool) -> list[Loss]:
    """What is lost when a value of the schema `given` goes to a reader of the schema `taken`.

    `is_output` is True for replies and events.
    """
    return list(dict.fromkeys(_Narrowing(is_output).between(given, taken, "")))


class _Narrowing:
    """A comparison in one direction. `_open` has the pairs being compared, as a schema may contain itself."""

    def __init__(self, is_output: bool) -> None:
        self._is_output = is_output
        self._open: list[tuple[Schema, Schema]] = []

    def between(self, given: Side, taken: Side, field: str) -> Iterator[Loss]:
        pair = (given.schema, taken.schema)
        if pair in self._open:
            return
        self._open.append(pair)
        for kind in given.kinds():
            yield from self._of_kind(kind, taken.kinds(), field)
        self._open.pop()

    def _of_kind(self, given: Side, taken: list[Side], field: str) -> Iterator[Loss]:
        """The losses with the alternative that loses least, of those that accept the type."""
        fitting = [each for each in taken if _takes_type(each, given)]
        if not fitting:
            yield self._loss(field, _TYPE, " or ".join(sorted(given.types)) or "anything")
            return
        yield from min((list(self._of_same_type(given, each, field)) for each in fitting), key=len)

    def _of_same_type(self, given: Side, taken: Side, field: str) -> Iterator[Loss]:
        yield from self._values(given, taken, field)
        yield from self._bounds(given, taken, field)
        if "items" in taken.schema and given.schema.get("items"):
            yield from self.between(given.at(given.schema["items"]), taken.at(taken.schema["items"]), f"{field}/*")
        more_given, more_taken = given.schema.get("additionalProperties"), taken.schema.get("additionalProperties")
        if isinstance(more_given, dict) and isinstance(more_taken, dict):
            yield from self.between(given.at(more_given), taken.at(more_taken), f"{field}/*")
        if "properties" in taken.schema and "properties" in given.schema:
            yield from self._fields(given, taken, field)

    def _fields(self, given: Side, taken: Side, field: str) -> Iterator[Loss]:
        ours, theirs = given.schema["properties"], taken.schema["properties"]
        # Callers lose fields that they send, readers fields that they read. A new field is no loss.
        for name in theirs if self._is_output else ours:
            if name not in ours or name not in theirs:
                yield self._loss(f"{field}/{name}", _GONE)
        required = set(given.schema.get("required", ()))
        for name in taken.schema.get("required", ()):
            is_gone = self._is_output and name not in ours
            if name not in required and not is_gone:
                yield self._loss(f"{field}/{name}", _REQUIRED)
        for name in (name for name in theirs if name in ours):
            yield from self.between(given.at(ours[name]), taken.at(theirs[name]), f"{field}/{name}")

    def _values(self, given: Side, taken: Side, field: str) -> Iterator[Loss]:
        if taken.values and not given.values:
            yield self._loss(field, _VALUE, "values other than " + _listed(taken.values))
        for value in given.values:
            if not _takes_value(taken, value):
                yield self._loss(field, _VALUE, _listed([value]))

    def _bounds(self, given: Side, taken: Side, field: str) -> Iterator[Loss]:
        for bound in (*_AT_LEAST, *_AT_MOST, "multipleOf", *_SAME):
            limit = taken.schema.get(bound)
            # The format `password` only changes the display, and all text of requests has the pattern TEXT.
            if limit in (None, "password", TEXT) or given.values:
                continue
            if not _keeps(bound, given.schema.get(bound), limit):
                old, new = (taken, given) if self._is_output else (given, taken)
                values = (side.schema.get(bound, "none") for side in (new, old))
                yield self._loss(field, _BOUND, f"{bound} is {next(values)} now, was {next(values)}")

    def _loss(self, field: str, words: tuple[str, str], what: str = "") -> Loss:
        return Loss(field, words[self._is_output].format(what))


def _takes_type(taken: Side, given: Side) -> bool:
    if not taken.types:
        return True
    widened = taken.types | ({"integer"} if "number" in taken.types else set())
    return bool(given.types) and given.types <= widened


def _takes_value(taken: Side, value: Any) -> bool:
    if taken.values:
        return value in taken.values
    number, pattern = len(value) if isinstance(value, str) else value, taken.schema.get("pattern", "")
    bounds = _TEXT_BOUNDS if isinstance(value, str) else _NUMBER_BOUNDS
    keeps = all(is_kept(number, taken.schema[bound]) for bound, is_kept in bounds.items() if bound in taken.schema)
    return keeps and (not isinstance(value, str) or re.search(pattern, value) is not None)


def _keeps(bound: str, given: Any, taken: Any) -> bool:
    """Whether each value within the bound `given` is also within the bound `taken`."""
    if given is None:
        return False
    if bound in _AT_LEAST:
        return bool(given >= taken)
    if bound in _AT_MOST:
        return bool(given <= taken)
    return bool(given % taken == 0) if bound == "multipleOf" else bool(given == taken)


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", type(None): "null", list: "array", dict: "object"}
    return names.get(type(value), "number")


def _listed(values: list[Any]) -> str:
    return ", ".join(json.dumps(value, default=str) for value in values)
