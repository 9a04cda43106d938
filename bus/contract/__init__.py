"""What a service declares: its operations, events, refusals and the rules of their fields. Pure: no I/O, no broker.

A contract module imports this package, and clients import contracts. So nothing here imports SQLAlchemy, Flask, pika
or prometheus_client. It imports no other package of `bus`; every other package may import it.

Start at `operations.py`. `fields.py` has the marks for fields, `codec.py` and `validation.py` turn bytes into a valid
request, `problems.py` has the one shape of every error, and `redaction.py` decides what may be kept of a secret.
"""
