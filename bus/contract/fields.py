"""Rules for fields: what `msgspec.Meta` cannot say about a value, written into the contract's annotations."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints, runtime_checkable

import msgspec


class RuleViolation(ValueError):
    """Raised by a rule: the value has the right type but is not acceptable. The sender's fault."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@runtime_checkable
class Rule(Protocol):
    """Anything with a `check`; put an instance into `Annotated[...]`."""

    def check(self, value: Any) -> None:
        """Take the value as it came out of the JSON (a number as int or Decimal). Raises RuleViolation."""


@runtime_checkable
class DescribedRule(Protocol):
    """A rule that can say itself in a schema too, as far as a schema can say it."""

    def json_schema(self) -> dict[str, object]:
        """Members of a JSON Schema (2020-12) for the value, such as `maximum`."""


@dataclass(frozen=True)
class DecimalRange:
    """A decimal number from `ge` to `le` with at most `places` digits behind the point."""

    places: int
    ge: Decimal
    le: Decimal

    def check(self, value: Any) -> None:
        """Raises RuleViolation: wrong-type for anything but a number, out-of-range for one that does not fit."""
        if type(value) is str:
            raise RuleViolation("wrong-type", "Expected a number, got a string.")
        number = Decimal(value)
        if not self.ge <= number <= self.le or (number.is_zero() and number.is_signed()):
            raise RuleViolation("out-of-range", f"Expected a number from {self.ge} to {self.le}.")
        if number != round(number, self.places):
            raise RuleViolation("out-of-range", f"Expected at most {self.places} digits behind the point.")

    def json_schema(self) -> dict[str, object]:
        """Its bounds, and its last digit as the step."""
        return {"minimum": self.ge, "maximum": self.le, "multipleOf": Decimal(1).scaleb(-self.places)}


class Secret:
    """Marks a field that must never rest readable: it is cut from logs, dead letters and stored replies."""


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
def holds_secrets(declared: type[msgspec.Struct]) -> bool:
    """Whether a field is marked `Secret`, in the class itself or in one that its fields are made of."""
    return any(map(secrets_of, structs_in(declared)))


@cache
def holds_secrets_inside(declared: type[msgspec.Struct]) -> bool:
    """The same, but only of the classes that its fields are made of."""
    return any(map(secrets_of, structs_in(declared) - {declared}))


def structs_in(hint: Any) -> set[Any]:
    """The struct classes that a hint names, and those that their fields name."""
    seen: set[Any] = set()
    _collect_structs(hint, seen)
    return seen


def _collect_structs(hint: Any, seen: set[Any]) -> None:
    """Add the struct classes of a hint to those seen; a class may name itself."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and hint not in seen:
        seen.add(hint)
        for inner in get_type_hints(hint, include_extras=True).values():
            _collect_structs(inner, seen)
    for argument in get_args(hint):
        _collect_structs(argument, seen)


def _metadata(hint: Any) -> tuple[Any, ...]:
    """Everything said with Annotated about a hint, also inside a union such as `Price | UnsetType`."""
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        return (*metadata, *_metadata(inner))
    return tuple(item for argument in get_args(hint) for item in _metadata(argument))
