"""The caller's end of the bus: call an operation and get its reply, or an exception that says why there is none.

`client.py` has `Client`, `pending.py` the calls that wait for a reply, `liveness.py` the check that a service is there,
`tracing.py` the client's spans, `retrying.py` a client for start-up, `event_stream.py` events as they are published.

It imports `bus.dead_letters` and what is below, but never SQLAlchemy. Front ends, workers, the command line and
programs that use `bus` import it.

Start at `client.py`.
"""
