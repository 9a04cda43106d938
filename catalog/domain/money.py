"""Money: how exact a price is, and how high it may be."""

from decimal import Decimal

# After the point.
PLACES = 2

CENT = Decimal("0.01")
HIGHEST = Decimal("9999999999.99")
