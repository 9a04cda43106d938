"""Attributes: a flat JSON object of what a product has beside its fields."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

MOST_NAME_CHARACTERS = 64
# As JSON in UTF-8, without blanks.
MOST_BYTES = 8 * 1024

V = TypeVar("V")

_encoder = msgspec.json.Encoder(decimal_format="number")


def size_of(attributes: Mapping[str, object]) -> int:
    """The bytes of the JSON."""
    return len(_encoder.encode(attributes))


def merged(current: Mapping[str, V], changes: Mapping[str, V | None]) -> dict[str, V]:
    """What a merge patch makes of attributes (RFC 7396, section 2): null removes one."""
    together = {**current, **changes}
    return {name: value for name, value in together.items() if value is not None}
