"""Processes: the settings, what `bus run`, `bus worker` and `bus web` start, and what watches over them.

It imports everything but the command line and `bus.testing`. Start at `running.py`; `settings.py` has every
environment variable.
"""
