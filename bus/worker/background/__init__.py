"""What runs in a worker beside its messages: threads that come back to the same task again and again.

Only `bus.worker` starts them. Start at `outbox_relay.py`, which sends the events of committed changes.
"""
