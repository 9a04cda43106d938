"""For tests of services built on `bus`: services in the process of the test, a real RabbitMQ, a real PostgreSQL.

`running` runs services without any server; `pytest_plugins = ["bus.testing.fixtures"]` gives a test a broker and a
database, found or started; `wait_until` waits for a condition. `python -m bus.testing` is the command line, `servers/`
what finds and starts the servers.

Tests import it, and nothing of `bus` but the command line may. Start at `services.py` or `fixtures.py`.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports

if TYPE_CHECKING:
    from bus.testing.services import running
    from bus.testing.waiting import wait_until

__all__ = ["running", "wait_until"]

__getattr__ = lazy_exports(__name__, {"bus.testing.services": ("running",), "bus.testing.waiting": ("wait_until",)})
