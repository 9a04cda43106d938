"""F25: the system in one process, with messages in its memory and products in SQLite, dies."""

import os
import tempfile
from pathlib import Path

from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER
from faults.census import Census
from faults.load import UNAVAILABLE, Load
from faults.member import FrontEnd
from faults.scale import Scale
from faults.system import Servers
from faults.tally import Tally

PLACES = ("worker.before-commit", "worker.after-commit", "client.after-confirm", "relay.before-mark")
READY_SECONDS = 30.0


def at_each_point(_servers: Servers, scale: Scale) -> Tally:
    """What was answered is there after the next start; what was not is sent again with its key, and done once."""
    tally = Tally()
    for place in PLACES:
        with tempfile.TemporaryDirectory(prefix="bus-faults-") as folder:
            _die_at(place, Path(folder), scale, tally)
    return tally


def _die_at(place: str, folder: Path, scale: Scale, tally: Tally) -> None:
    [port] = free_ports(1)
    mortal = _run("mortal", folder, port, BUS_FAILPOINT=f"{place}:{scale.of(100, 20)}")
    successor = _run("successor", folder, port)
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


def _run(name: str, folder: Path, port: int, **environment: str) -> FrontEnd:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUS_", "AUTH_", "CATALOG_"))}
    settings = {"CATALOG_PORT": str(port), "DATA_DIR": str(folder), "SEED": "0", **environment}
    member = FrontEnd(name, folder, inherited | settings, "-m", "bus.cli", "run", "catalog")
    member.url = f"http://127.0.0.1:{port}"
    return member
