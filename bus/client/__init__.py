"""The caller's end of the bus: call an operation and get its answer, or a typed reason why not.

It imports `bus.dead_letters` and what is below, but never SQLAlchemy. Front ends, the command line and programs of
yours use it.

Start at `client.py`; `pending.py` has the calls that wait for an answer.
"""
