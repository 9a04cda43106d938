"""F21: everything is restarted, one after the other, under load."""

import time

from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER
from faults.counting import count
from faults.load import Load
from faults.member import FrontEnd, Member
from faults.scale import Scale
from faults.system import Servers, System, running
from faults.tally import Tally

# Supervisors wait as long before they kill.
EXIT_SECONDS = 30.0
READY_SECONDS = 30.0


def rolling_restart(servers: Servers, scale: Scale) -> Tally:
    """Two workers and two front ends; the clients go to whichever front end is there."""
    tally = Tally()
    with running(servers, workers=2, fronts=2) as system:
        load = Load(system.urls, scale.creates, allows=frozenset({NO_ANSWER}), per_second=scale.of(300, 60)).start()
        restarts = [
            _restarted(member, system) for _ in range(scale.of(10, 1)) for member in (*system.workers, *system.fronts)
        ]
        load.finish()
        slowest = max(restart.exit_seconds for restart in restarts)
        tally.must(slowest < EXIT_SECONDS, f"an exit took {slowest:.1f} s")
        tally.note(f"{len(restarts)} restarts, the slowest exit took {slowest:.1f} s")
        for sample in (*load.samples, *load.questions):
            if sample.status == NO_ANSWER and not any(restart.excuses(sample.url, sample.at) for restart in restarts):
                tally.unexpected += 1
                tally.note(f"{sample.code} from a front end that was not being restarted")
        count(tally, system, load)
    return tally


class _Restart:
    def __init__(self, member: Member) -> None:
        self._member = member
        self._began = time.monotonic()
        self.exit_seconds = member.terminate()
        member.start()
        self._ended = float("inf")

    def ready(self) -> None:
        self._ended = time.monotonic()

    def excuses(self, url: str, moment: float) -> bool:
        """Whether this front end was down then. Its clients notice a lost connection at their next request."""
        is_it = isinstance(self._member, FrontEnd) and self._member.url == url
        return is_it and self._began <= moment <= self._ended + 1


def _restarted(member: Member, system: System) -> _Restart:
    """SIGTERM, wait for the end, start again, wait until it works."""
    restart = _Restart(member)
    if isinstance(member, FrontEnd):
        wait_until(member.is_ready, READY_SECONDS, f"{member.name} is ready")
    else:
        wait_until(lambda: system.consumers() == len(system.workers), READY_SECONDS, f"{member.name} consumes")
    restart.ready()
    return restart
