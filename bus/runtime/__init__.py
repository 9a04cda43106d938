"""The processes: their settings, what `bus run`, `bus worker` and `bus web` start, and what watches over them.

`running.py` runs one worker, or everything as separate processes under the `supervisor.py`; `embedded.py` runs
everything in one process. `servers.py` and `wsgi.py` serve front ends, `monitor.py` a worker's metrics and health.
`process.py` has signals and the like. `doctor/` checks whether a system can run.

It may import everything except `bus.cli`, `bus.testing` and the services; only `bus.cli` and tests import it. Start at
`running.py`; `settings.py` has every environment variable.
"""
