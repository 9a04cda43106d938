"""Bounds of stocks."""

# What an INTEGER column holds.
MOST_PIECES = 2**31 - 1
