"""F25: the system in one process, with messages in its memory and products in SQLite, dies."""

import tempfile
from pathlib import Path

from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER
from faults.census import Census
from faults.embedded import READY_SECONDS, embedded_member
from faults.load import UNAVAILABLE, Load
from faults.scale import Scale
from faults.system import Servers
from faults.tally import Tally

PLACES = ("worker.before-commit", "worker.after-commit", "client.after-confirm", "relay.before-mark")


def at_each_point(_servers: Servers, scale: Scale) -> Tally:
    """What was answered is there after the next start; what was not is sent again with its key, and done once."""
    tally = Tally()
    for place in PLACES:
        with tempfile.TemporaryDirectory(prefix="bus-faults-") as folder:
            _die_at(place, Path(folder), scale, tally)
    return tally


def _die_at(place: str, folder: Path, scale: Scale, tally: Tally) -> None:
    [port] = free_ports(1)
    mortal = embedded_member("mortal", folder, port, BUS_FAILPOINT=f"{place}:{scale.of(100, 20)}")
    successor = embedded_member("successor", folder, port)
    try:
        mortal.start()
        wait_until(mortal.is_ready, READY_SECONDS, "the system is ready")
        load = Load([mortal.url], scale.creates // len(PLACES), allows=frozenset({NO_ANSWER, UNAVAILABLE})).start()
        wait_until(mortal.has_ended, READY_SECONDS, f"the process died at {place}")
        answered = set(load.answers)
        successor.start()
        load.finish()
        census = Census(f"sqlite:///{folder}/catalog.db")
        tally.must(all(census.times(name) == 1 for name in answered), f"what was answered before {place} is not there")
        load.add_to(tally, census)
    finally:
        mortal.end()
        successor.end()
