"""Fields as text, as a URL or a command line gives them."""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from bus.contract.codec import MAX_DIGITS
from bus.contract.operations import Operation

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}
_NUMBER_TYPES = (inspect.IntType, inspect.FloatType, inspect.DecimalType)
_STRUCTURED_TYPES = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.TupleType,
    inspect.VarTupleType,
    inspect.DictType,
    inspect.StructType,
)


def from_text(fields: Mapping[str, str], operation: type[Operation[Any]]) -> dict[str, Any]:
    """Turn text into numbers and booleans where the contract has them. Other text stays, for validation to refuse."""
    numbers, booleans = _fields_with(operation, _NUMBER_TYPES), _fields_with(operation, (inspect.BoolType,))
    return {
        name: _number(text) if name in numbers else _BOOLEANS.get(text, text) if name in booleans else text
        for name, text in fields.items()
    }


@cache
def structured_fields(operation: type[Operation[Any]]) -> frozenset[str]:
    """The names of the fields that have a list or an object, and never a text."""
    return _fields_with(operation, _STRUCTURED_TYPES) - _fields_with(operation, (inspect.StrType,))


def _number(text: str) -> int | Decimal | str:
    if len(text) > MAX_DIGITS or not _NUMBER.fullmatch(text):
        return text
    return Decimal(text) if "." in text else int(text)


@cache
def _fields_with(operation: type[Operation[Any]], types: tuple[type[inspect.Type], ...]) -> frozenset[str]:
    fields = msgspec.structs.fields(operation)
    return frozenset(field.encode_name for field in fields if _is_one_of(types, inspect.type_info(field.type)))


def _is_one_of(types: tuple[type[inspect.Type], ...], declared: inspect.Type) -> bool:
    if isinstance(declared, inspect.Metadata):
        return _is_one_of(types, declared.type)
    if isinstance(declared, inspect.UnionType):
        return any(_is_one_of(types, each) for each in declared.types)
    return isinstance(declared, types)
