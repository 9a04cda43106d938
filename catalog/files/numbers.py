"""Numbers as tables have them."""

import re
from decimal import Decimal

_WITH_POINT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_WITH_COMMA = re.compile(r"-?[0-9]{1,20}(,[0-9]{1,20})?")


class NotANumber(ValueError):
    """A cell has no number. The message says what to do."""


def number(text: str, *, decimal_comma: bool) -> Decimal:
    """A number without thousands separators or a currency. Raises NotANumber."""
    plain = text.strip()
    if (_WITH_COMMA if decimal_comma else _WITH_POINT).fullmatch(plain):
        return Decimal(plain.replace(",", "."))
    shown = repr(plain[:40])
    if not decimal_comma and _WITH_COMMA.fullmatch(plain):
        raise NotANumber(f"{shown} has a decimal comma. If all prices of the file have one, add --decimal-comma.")
    example = "9,90" if decimal_comma else "9.90"
    raise NotANumber(f"{shown} is not a number such as {example}, without a currency and thousands separators.")


def whole_number(text: str) -> int:
    """A number of pieces; 3.0 is one too. Raises NotANumber."""
    plain = text.strip()
    if not _WITH_POINT.fullmatch(plain) or Decimal(plain) != int(Decimal(plain)):
        raise NotANumber(f"{plain[:40]!r} is not a whole number.")
    return int(Decimal(plain))
