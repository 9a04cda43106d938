"""What the author of a service works with: `Service`, `Work` and `Application`.

It imports `bus.client` and what is below. Workers run what is registered here.

Start at `service.py`, which registers handlers; `work.py` is what a handler is given.
"""
