"""F34: the process that keeps the others running is killed."""

import time

import psutil

from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER
from faults.census import Census
from faults.counting import count_dead
from faults.load import UNAVAILABLE, Load
from faults.scale import Scale
from faults.system import Servers, made_of
from faults.tally import Tally

BEFORE_SECONDS = 1.0
# Its children look for it several times a second.
ENDED_SECONDS, READY_SECONDS = 5.0, 60.0


def parent_killed(servers: Servers, scale: Scale) -> Tally:
    """`bus run` is killed under load. Its children end with it, so that its successor gets their ports."""
    tally = Tally(recovered_in=0.0)
    with made_of(servers) as system:
        [port] = free_ports(1)
        parent = system.add_run(port)
        wait_until(parent.is_ready, READY_SECONDS, "the system is ready")
        load = Load([parent.url], scale.creates, allows=frozenset({NO_ANSWER, UNAVAILABLE})).start()
        for _ in range(scale.of(3, 1)):
            time.sleep(BEFORE_SECONDS)
            [process, *children] = parent.processes()
            tally.must(len(children) >= 2, f"it has {len(children)} children, so the row shows nothing")
            process.kill()
            killed = time.monotonic()
            wait_until(lambda: not any(map(_lives, children)), READY_SECONDS, "the children have ended")  # noqa: B023
            tally.recovered_in = max(tally.recovered_in or 0.0, time.monotonic() - killed)
            wait_until(parent.is_ready, READY_SECONDS, "its successor is ready")
        load.finish()
        bound = scale.within(ENDED_SECONDS)
        tally.must((tally.recovered_in or 0.0) < bound, f"the children lived for {tally.recovered_in:.1f} s more")
        load.add_to(tally, Census(system.database_url))
        count_dead(tally, system)
    return tally


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
