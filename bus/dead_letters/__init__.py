"""Messages set aside for a person: how they are written, read, stored, listed and sent again.

It imports `bus.security` and what is below. Workers put letters in, the command line works with them.

Start at `envelope.py`, what a dead letter looks like on the broker, then `store.py`, the table.
"""
