"""The console: a front end for operators, with the state of all services, and what to do with their dead letters.

It has no database. It asks the services over the bus, by the operations of `bus.contract.operator`, and counts in the
broker's queues. It imports `bus.http` and what is below; `bus.runtime` serves it.

Start at `application.py`; `watching.py` is what it knows, `findings.py` what is wrong, in words.
"""
