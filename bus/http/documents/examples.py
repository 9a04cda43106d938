"""Examples of requests, replies and events, made from the fields of their classes."""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import inspect

from bus.contract.codec import encode_fields, parse
from bus.contract.fields import DecimalRange, rules_of
from bus.contract.one_of import OneOf

# How deep structs are nested in an example. A class that contains itself in a field that may be empty ends there.
MAX_DEPTH = 5

_VALUES: dict[type[inspect.Type], object] = {
    inspect.BoolType: True,
    inspect.FloatType: 0.5,
    inspect.DecimalType: Decimal("9.90"),
    inspect.DateTimeType: "2030-01-31T12:00:00Z",
    inspect.DateType: "2030-01-31",
    inspect.TimeType: "12:00:00",
    inspect.TimeDeltaType: "PT5S",
    inspect.UUIDType: "0190a5de-7c3f-7d3b-8f0e-3f5b2f3c7a11",
    inspect.DictType: {},
    inspect.RawType: {},
    inspect.AnyType: {},
    inspect.NoneType: None,
}


def example_of(declared: type[msgspec.Struct]) -> dict[str, object]:
    """An example with every required field, and the optional fields that have an example or a default.

    A value is the field's `Meta(examples=…)`, its default, or a value within its bounds; numbers are int or Decimal,
    as in JSON. Raises TypeError when a required field has a pattern or a type that only its author knows a value for.
    """
    return parse(encode_fields(_fields_of(declared, MAX_DEPTH)))


def known_examples(declared: type[msgspec.Struct]) -> list[dict[str, object]]:
    """The example of a class in a list, which is empty where `example_of` raises TypeError."""
    try:
        return [example_of(declared)]
    except TypeError:
        return []


def _fields_of(declared: type[msgspec.Struct], depth: int) -> dict[str, object]:
    exact = {field.name: rule for field in rules_of(declared) for rule in field.rules if isinstance(rule, DecimalRange)}
    example: dict[str, object] = {}
    if issubclass(declared, OneOf):
        first, *_ = msgspec.structs.fields(declared)
        return {first.encode_name: _fitting(declared, first.name, _set(inspect.type_info(first.type)), depth)}
    for field in msgspec.structs.fields(declared):
        info = inspect.type_info(field.type)
        given = _given(info)
        if given:
            example[field.encode_name] = given[0]
        elif field.required and field.name in exact:
            example[field.encode_name] = exact[field.name].le
        elif field.required:
            example[field.encode_name] = _fitting(declared, field.name, info, depth)
        elif field.default is not msgspec.NODEFAULT and field.default is not msgspec.UNSET:
            example[field.encode_name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            example[field.encode_name] = field.default_factory()
    return example


def _set(info: inspect.Type) -> inspect.Type:
    """A type that may be left out, as one that is there."""
    return info.types[0] if isinstance(info, inspect.UnionType) else info


def _given(info: inspect.Type) -> list[Any]:
    """The examples that the contract gives, for the field or for the entries of its list."""
    if isinstance(info, inspect.Metadata):
        return list((info.extra_json_schema or {}).get("examples", ())) or _given(info.type)
    if isinstance(info, inspect.UnionType):
        return [example for each in info.types for example in _given(each)]
    if isinstance(info, inspect.CollectionType):
        return [[example] for example in _given(info.item_type)]
    return []


def _fitting(declared: type[msgspec.Struct], name: str, info: inspect.Type, depth: int) -> object:
    if isinstance(info, inspect.Metadata):
        return _fitting(declared, name, info.type, depth)
    if isinstance(info, inspect.UnionType):
        may_be_null = any(isinstance(each, inspect.NoneType) for each in info.types)
        return None if may_be_null and depth == 0 else _fitting(declared, name, info.types[0], depth)
    if isinstance(info, inspect.StructType) and depth:
        return _fields_of(info.cls, depth - 1)
    if isinstance(info, inspect.CollectionType):
        count = info.min_length or min(1, depth - 1)
        return [_fitting(declared, name, info.item_type, depth - 1) for _ in range(count)]
    return _plain_value(declared, name, info)


def _plain_value(declared: type[msgspec.Struct], name: str, info: inspect.Type) -> object:
    if isinstance(info, inspect.LiteralType):
        return info.values[0]
    if isinstance(info, inspect.EnumType):
        return next(iter(info.cls)).value
    if isinstance(info, inspect.StrType) and info.pattern is None:
        return "text".ljust(info.min_length or 0, "x")[: info.max_length]
    if isinstance(info, inspect.IntType):
        return _whole_number(info)
    if isinstance(info, inspect.BytesType) and info.min_length is None:
        return "aGk="
    if type(info) in _VALUES:
        return _VALUES[type(info)]
    raise TypeError(f"{declared.__name__}: give {name} an example, as in Meta(examples=[…])")


def _whole_number(info: inspect.IntType) -> int:
    """1, or the nearest number that the bounds allow."""
    step = info.multiple_of or 1
    least = info.ge if info.ge is not None else info.gt + 1 if info.gt is not None else None
    most = info.le if info.le is not None else info.lt - 1 if info.lt is not None else None
    number = 1 if least is None else max(1, least)
    number = number if most is None else min(number, most)
    up = -(-number // step) * step
    return up if most is None or up <= most else number // step * step
