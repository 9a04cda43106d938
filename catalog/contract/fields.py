"""The fields of products: their types and bounds."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta

from bus import READABLE, VISIBLE, DecimalRange, MultiLine, RuleViolation
from catalog.domain import money
from catalog.domain.attributes import MOST_BYTES, MOST_NAME_CHARACTERS, size_of
from catalog.domain.stock import MOST_PIECES

_NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"


class _InCurrency:
    """A price in the currency of the catalog."""

    def check(self, value: Any) -> None:
        """Raises RuleViolation with the code wrong-type or out-of-range."""
        self._range.check(value)

    def json_schema(self) -> dict[str, object]:
        """Bounds and places."""
        return self._range.json_schema()

    def in_words(self) -> str:
        """Bounds and places."""
        return self._range.in_words()

    @property
    def _range(self) -> DecimalRange:
        return DecimalRange(places=money.places(), ge=Decimal(0), le=money.highest())


@dataclass(frozen=True)
class _AttributeBounds:
    """How long the names of attributes are, and how long all of them together."""

    def check(self, value: Any) -> None:
        """Raises RuleViolation with the code out-of-range."""
        if any(not 1 <= len(name) <= MOST_NAME_CHARACTERS for name in value):
            raise RuleViolation("out-of-range", f"A name has 1 to {MOST_NAME_CHARACTERS} characters.")
        if size_of(value) > MOST_BYTES:
            raise RuleViolation("out-of-range", f"Expected at most {MOST_BYTES} bytes of JSON.")

    def json_schema(self) -> dict[str, object]:
        """Of the names. A schema cannot count bytes."""
        return {"propertyNames": {"minLength": 1, "maxLength": MOST_NAME_CHARACTERS, "pattern": _NO_CONTROL}}

    def in_words(self) -> str:
        """Such as the documents have it."""
        return f"names of 1 to {MOST_NAME_CHARACTERS} characters, at most {MOST_BYTES} bytes together"


Moment = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=200, examples=["Lamp"]), READABLE]
Price = Annotated[Decimal, Meta(examples=[Decimal("9.90")]), _InCurrency()]
# Without an example, because a list of all that cost this has nothing on it.
PriceBound = Annotated[Decimal, _InCurrency()]
Quantity = Annotated[int, Meta(ge=0, le=MOST_PIECES, examples=[3])]
# Without an example: programs that are made from the contract would name a version that the product does not have.
Version = Annotated[int, Meta(ge=0, le=10**18 - 1)]
ProductId = Annotated[int, Meta(ge=0, le=2**63 - 1, examples=[1])]

# Without an example, because a second product with it would be refused.
Sku = Annotated[str, Meta(min_length=1, max_length=100), VISIBLE]
Tag = Annotated[str, Meta(min_length=1, max_length=50), VISIBLE]
Tags = Annotated[list[Tag], Meta(max_length=50)]
Description = Annotated[str, Meta(max_length=10_000, extra={"in_words": "line breaks allowed"}), MultiLine()]
# All whole numbers of this size are exact in every language.
_MOST = 10**15
AttributeValue = str | bool | Annotated[int, Meta(ge=-_MOST, le=_MOST)] | Annotated[float, Meta(ge=-_MOST, le=_MOST)]
Attributes = Annotated[dict[str, AttributeValue], _AttributeBounds()]
# Of a merge patch: null removes the attribute.
ChangedAttributes = Annotated[dict[str, AttributeValue | None], _AttributeBounds()]
