"""Money: the currency of the catalog, how exact a price is, and how high it may be.

The table of prices has two places whatever the currency is. A currency with three places has tenths of its smallest
unit there as hundredths: 9.905 dinars are stored as 99.05. So the table is the same for all currencies.
"""

from collections.abc import Callable
from decimal import Decimal

# The currencies of ISO 4217, by the number of places that they have after the point.
_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE "
        "CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL "
        "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR "
        "MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK "
        "SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD "
        "XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
PLACES_OF = {code: places for places, codes in _CODES.items() for code in codes.split()}

STORED_PLACES = 2
_STORED_UNIT = Decimal(1).scaleb(-STORED_PLACES)
# Of the smallest unit.
_MOST_UNITS = Decimal(10**12 - 1)


class _Catalog:
    """The catalog of this process. Its settings are read after this module is imported."""

    currency: Callable[[], str] = staticmethod(lambda: "")


def in_currency(code: Callable[[], str]) -> None:
    """Have all prices in the currency of this code; empty stands for one with two places."""
    _Catalog.currency = staticmethod(code)


def places() -> int:
    """How many digits a price has after the point."""
    return PLACES_OF.get(_Catalog.currency(), STORED_PLACES)


def highest() -> Decimal:
    """The highest price."""
    return _MOST_UNITS.scaleb(-places())


def to_column(price: Decimal) -> Decimal:
    """A price as the table has it."""
    digits = places()
    return (price if digits == STORED_PLACES else price.scaleb(digits - STORED_PLACES)).quantize(_STORED_UNIT)


def from_column(stored: Decimal) -> Decimal:
    """The price that the table has, with all places of the currency."""
    if (digits := places()) == STORED_PLACES:
        return stored
    return stored.scaleb(STORED_PLACES - digits).quantize(Decimal(1).scaleb(-digits))
