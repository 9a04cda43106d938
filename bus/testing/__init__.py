"""Helpers for tests of services: services in the test's process, a real RabbitMQ, a real PostgreSQL.

`running` runs services, beside fakes of others, with or without servers; `pytest_plugins = ["bus.testing.fixtures"]`
gives tests a broker and a database, given or started; `wait_until` waits for a condition. `python -m bus.testing` is
the command line, `servers/` provides the servers.

Tests and the benchmark import it; nothing else in `bus` does. Start at `services.py` or `fixtures.py`.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports

if TYPE_CHECKING:
    from bus.testing.services import RunningServices, Servers, running
    from bus.testing.waiting import wait_until

__all__ = ["RunningServices", "Servers", "running", "wait_until"]

__getattr__ = lazy_exports(
    __name__,
    {
        "bus.testing.services": ("RunningServices", "Servers", "running"),
        "bus.testing.waiting": ("wait_until",),
    },
)
