"""What a service declares: its operations, events, refusals and the rules of their fields. Pure: no I/O, no broker.

Everything here can be imported by a contract, so nothing here imports SQLAlchemy, Flask, pika or prometheus_client.
It imports nothing of `bus` but itself; every other package may import it.

Start at `operations.py`. `fields.py` has the marks for fields, `validation.py` and `codec.py` the way from bytes to a
valid request, `problems.py` the one shape of every error.
"""
