"""Messages set aside for a person: how they are written, read, stored, listed and replayed.

It imports `bus.security` and what is below. Workers store letters; the command line lists, replays and
discards them.

Start at `envelope.py`, what a dead letter looks like on the broker, then `store.py`, the table.
"""
