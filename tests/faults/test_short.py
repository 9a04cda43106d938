"""The faults in short: the rows that are quick enough for every test run.

Their conditions are those of the long ones; only bounds of time have some slack, for a machine that does more.
"""

from collections.abc import Iterator

import pytest

from bus.testing.servers.errors import ProvisioningFailed
from faults.rows import ROWS
from faults.scale import Scale
from faults.system import Servers, private_servers


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Servers of our own: they are stopped, killed and starved."""
    try:
        found = private_servers()
        with found as servers:
            yield servers
    except ProvisioningFailed as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.mark.parametrize("number", [number for number, row in ROWS.items() if row.is_short])
def test_nothing_is_lost_or_done_twice(number: str, servers: Servers) -> None:
    tally = ROWS[number].run(servers, Scale.SHORT)
    assert tally.passed, "\n".join([tally.line(number, ROWS[number].title), *tally.broken, *tally.notes])
    assert tally.acknowledged > 0
