"""F24: an hour of steady work, after which the processes are as large as before."""

import os
import statistics
import time
from dataclasses import dataclass

from faults.counting import count
from faults.load import Load
from faults.scale import Scale
from faults.system import Servers, System, running
from faults.tally import Tally

# How long: an hour, unless the environment says otherwise.
MINUTES_VARIABLE, USUAL_MINUTES = "SOAK_MINUTES", 60
PER_SECOND = 200
WARM_UP_SECONDS = 60.0
LOOK_SECONDS = 5.0
MINUTE_SECONDS = 60.0
MOST_DRIFT = 0.05
# Descriptors that come and go with connections and database sessions.
SLACK = 3


@dataclass(frozen=True)
class Look:
    """What was seen at one moment, of all processes together."""

    at: float
    megabytes: float
    descriptors: int
    channels: int


def soak(servers: Servers, scale: Scale) -> Tally:
    """200 creates a second over HTTP."""
    tally = Tally()
    minutes = float(os.environ.get(MINUTES_VARIABLE, USUAL_MINUTES))
    with running(servers, LOG_LEVEL="warning") as system:
        load = Load(system.urls, 0, per_second=PER_SECOND).start()
        time.sleep(WARM_UP_SECONDS)
        looks = _watch(system, servers, minutes * MINUTE_SECONDS)
        load.finish()
        first, last = looks[: _per_minute()], looks[-_per_minute() :]
        early, late = (statistics.mean(look.megabytes for look in part) for part in (first, last))
        drift = late / early - 1
        tally.must(abs(drift) < MOST_DRIFT, f"memory drifted by {drift:.1%}")
        grown = max(look.descriptors for look in last) - max(look.descriptors for look in first)
        tally.must(grown <= SLACK, f"{grown} more descriptors are open than at first")
        opened = last[-1].channels - first[0].channels
        tally.must(opened == 0, f"{opened} more channels are open than at first")
        tally.note(f"{early:.1f} MB in the first minute, {late:.1f} in the last: {drift:+.1%}")
        count(tally, system, load)
    return tally


def _watch(system: System, servers: Servers, seconds: float) -> list[Look]:
    looks = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        looks.append(_look(system, servers))
    return looks


def _look(system: System, servers: Servers) -> Look:
    processes = [process for member in system.members for process in member.processes()]
    return Look(
        at=time.monotonic(),
        megabytes=sum(process.memory_info().rss for process in processes) / 1e6,
        descriptors=sum(process.num_fds() for process in processes),
        channels=len(servers.broker.ctl("list_channels", "-q", "--no-table-headers", "pid").splitlines()),
    )


def _per_minute() -> int:
    return int(MINUTE_SECONDS / LOOK_SECONDS)
