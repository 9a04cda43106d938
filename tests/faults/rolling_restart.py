"""F21: a rolling upgrade under load: the database is migrated, then everything is restarted, one after the other."""

import time

from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER, Sample
from faults.counting import count
from faults.load import UNAVAILABLE, Load
from faults.member import FrontEnd, Member
from faults.next_release import NextRelease
from faults.scale import Scale
from faults.standstills import Standstills
from faults.system import Servers, System, running
from faults.tally import Tally

# Supervisors wait as long before they kill.
EXIT_SECONDS = 30.0
READY_SECONDS = 60.0
# Who has not heard of a worker for so long asks for one first, and takes 0.6 s of silence for a no: of that, a machine
# that stands still must have had its half before a 503 is put down to it.
UNHEARD_SECONDS, STOOD_STILL_SECONDS = 1.0, 0.3
MOST_EXCUSED = 0.02


def rolling_restart(servers: Servers, scale: Scale) -> Tally:
    """Two workers and two front ends; the clients go to whichever front end is there.

    The next release migrates the database while this one works with it. The first worker is then started again as it
    was, as after a crash; all others become the next release.
    """
    tally = Tally()
    with running(servers, workers=2, fronts=2) as system, Standstills() as standstills:
        allowed = frozenset({NO_ANSWER, UNAVAILABLE})
        load = Load(system.urls, scale.creates, allows=allowed, per_second=scale.of(300, 60)).start()
        upgrade = NextRelease(system)
        upgrade.migrate()
        for member in (*system.workers[1:], *system.fronts):
            member.change(**upgrade.environment)
        restarts = [
            _restarted(member, system) for _ in range(scale.of(10, 1)) for member in (*system.workers, *system.fronts)
        ]
        load.finish()
        slowest = max(restart.exit_seconds for restart in restarts)
        tally.must(slowest < EXIT_SECONDS, f"an exit took {slowest:.1f} s")
        tally.note(f"{len(restarts)} restarts, the slowest exit took {slowest:.1f} s")
        excused = 0
        for sample in (*load.samples, *load.questions):
            if sample.status == NO_ANSWER and not any(restart.excuses(sample) for restart in restarts):
                tally.unexpected += 1
                tally.note(f"{sample.code} from a front end that was not being restarted")
            if sample.status == UNAVAILABLE:
                stood_still = standstills.seconds(sample.begun - UNHEARD_SECONDS, sample.at)
                excused += stood_still >= STOOD_STILL_SECONDS
                if stood_still < STOOD_STILL_SECONDS:
                    tally.unexpected += 1
                    tally.note(f"{sample.code} while the machine stood still for {stood_still:.1f} s only")
        if excused:
            tally.note(f"{excused} x 503 while the machine stood still")
        tally.must(excused <= MOST_EXCUSED * len(load.samples), "the machine stood still too often to tell")
        count(tally, system, load)
    return tally


class _Restart:
    def __init__(self, member: Member, system: System) -> None:
        self._member = member
        self._began = time.monotonic()
        self.exit_seconds = member.terminate()
        if not isinstance(member, FrontEnd):  # else its consumer might be taken for the new one's
            wait_until(lambda: system.consumers() < len(system.workers), READY_SECONDS, f"{member.name} is gone")
        member.start()
        self._ended = float("inf")

    def ready(self) -> None:
        self._ended = time.monotonic()

    def excuses(self, sample: Sample) -> bool:
        """Whether this front end was down then. Its clients notice a lost connection at their next request."""
        is_it = isinstance(self._member, FrontEnd) and self._member.url == sample.url
        return is_it and self._began <= sample.at and sample.connected_at <= self._ended


def _restarted(member: Member, system: System) -> _Restart:
    """SIGTERM, wait for the end, start again, wait until it works."""
    restart = _Restart(member, system)
    if isinstance(member, FrontEnd):
        wait_until(member.is_ready, READY_SECONDS, f"{member.name} is ready")
    else:
        wait_until(lambda: system.consumers() == len(system.workers), READY_SECONDS, f"{member.name} consumes")
    restart.ready()
    return restart
