"""Money: how exact a price is, and how high it may be."""

from decimal import Decimal

# Before and after the point together, and after it.
DIGITS = 12
PLACES = 2

CENT = Decimal("0.01")
HIGHEST = Decimal("9999999999.99")
