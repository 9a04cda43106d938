"""The classes of a contract as JSON Schema (2020-12, but only what draft 7 has too), with our own rules."""

import inspect
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from bus.contract.fields import DescribedRule, multi_line_fields_of, rules_of, secrets_of, structs_in
from bus.contract.one_of import OneOf
from bus.contract.refusals import Refusal
from bus.http.documents.examples import known_examples

Schema = dict[str, Any]

# Text fields of requests without a pattern of their own get this one, because `bus.contract.validation` refuses control
# characters. It refuses lone surrogates too, but a JSON Schema cannot exclude them.
TEXT = r"^[^\x00-\x1f\x7f-\x9f]*$"
MULTI_LINE_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"

_WHERE = "#/components/schemas/"


class Schemas:
    """The schemas of requests, and of what a service sends: replies, problems and events."""

    def __init__(self, requests: Iterable[type[msgspec.Struct]], outputs: Iterable[type[msgspec.Struct]]) -> None:
        asked = _structs_of(requests)
        classes = sorted(asked | _structs_of(outputs), key=lambda each: (each.__module__, each.__qualname__))
        refs, components = msgspec.json.schema_components(classes, ref_template=f"{_WHERE}{{name}}")
        self._names: dict[type[msgspec.Struct], str] = {
            cls: ref["$ref"].removeprefix(_WHERE) for cls, ref in zip(classes, refs, strict=True)
        }
        self.components: dict[str, Schema] = {name: _plain(components[name]) for name in sorted(components)}
        for cls, name in self._names.items():
            _complete(cls, self.components[name], is_request=cls in asked)

    def of(self, cls: type[msgspec.Struct]) -> Schema:
        """A reference to the schema of a class."""
        return {"$ref": f"{_WHERE}{self._names[cls]}"}

    def whole(self, cls: type[msgspec.Struct], *, without: Iterable[str] = ()) -> Schema:
        """A copy of the schema of a class, without some of its fields."""
        left_out = frozenset(without)
        schema = dict(self.components[self._names[cls]])
        schema["properties"] = {name: each for name, each in schema["properties"].items() if name not in left_out}
        schema["required"] = [name for name in schema["required"] if name not in left_out]
        if "examples" in schema:
            schema["examples"] = [_without(example, left_out) for example in schema["examples"]]
        return schema

    def named_inside(self, cls: type[msgspec.Struct]) -> set[str]:
        """The names of the schemas of classes inside the fields of a class."""
        return {self._names[inner] for inner in structs_in(cls) - {cls}}

    def name_of(self, cls: type[msgspec.Struct]) -> str:
        """The name of the schema of a class among the components."""
        return self._names[cls]


def member_schemas(refusals: Iterable[type[Refusal]]) -> Schema:
    """The schemas of the members that refusals add to their problem documents, by name."""
    return {name: _plain(msgspec.json.schema(hint)) for each in refusals for name, hint in each.members.items()}


def _structs_of(classes: Iterable[type[msgspec.Struct]]) -> set[Any]:
    return {found for cls in classes for found in structs_in(cls)}


def _without(example: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name not in names}


def _plain(schema: Any) -> Any:
    """A schema of msgspec with numbers for decimals, and docstrings without their indentation."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        values = {name: _decimals(schema[name]) for name in ("examples", "default") if name in schema}
        return {"type": "number", **values}
    plain = {name: _plain(each) for name, each in schema.items()}
    if isinstance(plain.get("description"), str):
        plain["description"] = inspect.cleandoc(plain["description"])
    return plain


def _decimals(value: Any) -> Any:
    return [_decimals(each) for each in value] if isinstance(value, list) else Decimal(value)


def _complete(cls: type[msgspec.Struct], schema: Schema, *, is_request: bool) -> None:
    names = {field.name: field.encode_name for field in msgspec.structs.fields(cls)}
    _add_rules(cls, schema, names, is_request=is_request)
    if is_request:
        for name in multi_line_fields_of(cls):
            _refine(schema["properties"][name], {"pattern": MULTI_LINE_TEXT})
        for each in schema["properties"].values():
            _bound_text(each)
    elif not cls.__struct_config__.omit_defaults:
        # A field with a default may be left out in Python, but it is always sent.
        schema["required"] = [field.encode_name for field in msgspec.structs.fields(cls) if not _may_be_unset(field)]
    if examples := known_examples(cls):
        schema["examples"] = examples


def _add_rules(cls: type[msgspec.Struct], schema: Schema, names: dict[str, str], *, is_request: bool) -> None:
    """What the rules and marks of fields say, and the class itself."""
    for field in rules_of(cls):
        for rule in field.rules:
            if isinstance(rule, DescribedRule):
                _refine(schema["properties"][names[field.name]], rule.json_schema())
    for name in secrets_of(cls):
        _refine(schema["properties"][names[name]], {"format": "password"} | ({"writeOnly": True} if is_request else {}))
    if issubclass(cls, OneOf):
        schema.update(minProperties=1, maxProperties=1)


def _refine(schema: Schema, words: Schema) -> None:
    """Add these words to the schema, or to each of its alternatives but null."""
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    for each in kinds:
        each.update(words)


def _bound_text(schema: Schema) -> None:
    inner = (schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict))
    for each in (*schema.get("anyOf", ()), *inner):
        _bound_text(each)
    is_free = schema.get("format", "password") == "password" and not schema.keys() & {"pattern", "enum"}
    if schema.get("type") == "string" and is_free:
        schema["pattern"] = TEXT


def _may_be_unset(field: msgspec.structs.FieldInfo) -> bool:
    return field.default is msgspec.UNSET
