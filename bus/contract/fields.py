"""Rules for fields: what `msgspec.Meta` cannot express, written into the annotations of a contract."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints, runtime_checkable

import msgspec


class RuleViolation(ValueError):
    """Raised by a rule for a value of the right type that is not acceptable. The sender's fault."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@runtime_checkable
class Rule(Protocol):
    """Any object with a `check`. Put an instance into `Annotated[...]`."""

    def check(self, value: Any) -> None:
        """Check a value as `codec.parse` returns it (a number as int or Decimal). Raises RuleViolation."""


@runtime_checkable
class DescribedRule(Protocol):
    """A rule that can also be written in a JSON Schema, at least in part."""

    def json_schema(self) -> dict[str, object]:
        """Members of a JSON Schema (2020-12) for the value, such as `maximum`."""


@runtime_checkable
class RuleInWords(Protocol):
    """A rule that says in words what it takes, after the type of the field."""

    def in_words(self) -> str:
        """Such as `0 to 5`, without a full stop."""


@dataclass(frozen=True)
class DecimalRange:
    """A decimal number from `ge` to `le` with at most `places` digits after the decimal point."""

    places: int
    ge: Decimal
    le: Decimal

    def check(self, value: Any) -> None:
        """Raises RuleViolation with the code wrong-type (not a number) or out-of-range."""
        if type(value) is str:
            raise RuleViolation("wrong-type", "Expected a number, got a string.")
        number = Decimal(value)
        if not self.ge <= number <= self.le or (number.is_zero() and number.is_signed()):
            raise RuleViolation("out-of-range", f"Expected a number from {self.ge} to {self.le}.")
        if number != round(number, self.places):
            raise RuleViolation("out-of-range", f"Expected at most {self.places} digits after the decimal point.")

    def json_schema(self) -> dict[str, object]:
        """The bounds, and the value of the last digit as `multipleOf`."""
        return {"minimum": self.ge, "maximum": self.le, "multipleOf": Decimal(1).scaleb(-self.places)}

    def in_words(self) -> str:
        """The bounds and the digits."""
        return f"{self.ge} to {self.le}, at most {self.places} digits after the decimal point"


class Secret:
    """Marks a field that is never stored or logged readable, nor kept in dead letters and stored replies."""


class MultiLine:
    """Marks a text that may have line breaks and tabs (LF, CR, HT). All other control characters stay forbidden."""


@dataclass(frozen=True)
class FieldRules:
    """The rules of one field of a declared type."""

    name: str
    rules: tuple[Rule, ...]


@cache
def rules_of(declared: type[msgspec.Struct]) -> tuple[FieldRules, ...]:
    """The fields of a contract class that carry rules."""
    found = ((name, _metadata(hint)) for name, hint in get_type_hints(declared, include_extras=True).items())
    picked = ((name, tuple(item for item in metadata if isinstance(item, Rule))) for name, metadata in found)
    return tuple(FieldRules(name, rules) for name, rules in picked if rules)


@cache
def secrets_of(declared: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the fields marked `Secret`."""
    hints = get_type_hints(declared, include_extras=True).items()
    return frozenset(name for name, hint in hints if any(isinstance(item, Secret) for item in _metadata(hint)))


@cache
def multi_line_fields_of(declared: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the fields marked `MultiLine`, as JSON has them."""
    hints = get_type_hints(declared, include_extras=True)
    fields = msgspec.structs.fields(declared)
    marked = (each for each in fields if any(isinstance(item, MultiLine) for item in _metadata(hints[each.name])))
    return frozenset(each.encode_name for each in marked)


@cache
def holds_secrets(declared: type[msgspec.Struct]) -> bool:
    """Whether a field of the class, or of a class inside its fields, is marked `Secret`."""
    return any(map(secrets_of, structs_in(declared)))


@cache
def holds_secrets_inside(declared: type[msgspec.Struct]) -> bool:
    """Whether a field of a class inside its fields is marked `Secret`."""
    return any(map(secrets_of, structs_in(declared) - {declared}))


def structs_in(hint: Any) -> set[Any]:
    """The struct classes that a type hint names, and those that their fields name."""
    seen: set[Any] = set()
    _collect_structs(hint, seen)
    return seen


def _collect_structs(hint: Any, seen: set[Any]) -> None:
    """Add the struct classes of a hint to `seen`, which also ends the recursion of a class that names itself."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and hint not in seen:
        seen.add(hint)
        for inner in get_type_hints(hint, include_extras=True).values():
            _collect_structs(inner, seen)
    for argument in get_args(hint):
        _collect_structs(argument, seen)


def _metadata(hint: Any) -> tuple[Any, ...]:
    """All metadata of Annotated in a hint, also inside a union such as `Price | UnsetType`."""
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        return (*metadata, *_metadata(inner))
    return tuple(item for argument in get_args(hint) for item in _metadata(argument))
