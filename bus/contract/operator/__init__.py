"""The operations with which an operator looks at a service and acts on it. Every service has them.

Only an operator may call them: the holder of the installation's operator token, see `bus.security.operators`. The
console and the command line use them, so neither needs a database.

`operations.py` has them all. `state.py` is for what runs, `dead_letters.py` and `requests.py` for what became of
messages, `actions.py` for what operators do, `events.py` for events that are sent again.
"""
