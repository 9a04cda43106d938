"""Faults: what breaks the whole system, and the count of what that cost. `make test-faults` runs all rows."""
