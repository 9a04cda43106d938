"""F9 and F10: a database that restarts, and one whose answers do not arrive."""

import threading
import time

from bus.testing.waiting import wait_until
from faults.counting import count
from faults.load import Load
from faults.proxy import Proxy, Verdict, port_of, through
from faults.scale import Scale
from faults.system import Servers, made_of, running
from faults.tally import Tally

BEFORE_SECONDS, AFTER_SECONDS = 1.0, 2.0
BACK_SECONDS = 5.0
CUTS_SECONDS = 120.0
# One COMMIT in so many is cut: enough left to get on.
EVERY = 4


def restarted(servers: Servers, scale: Scale) -> Tally:
    """Restarted without a word to anybody, three times under load."""
    tally = Tally(recovered_in=0.0)
    with running(servers) as system:
        load = Load(system.urls, scale.creates).start()
        for _ in range(scale.of(3, 1)):
            time.sleep(BEFORE_SECONDS)
            servers.database.restart(immediate=True)
            back = time.monotonic()
            tally.recovered_in = max(tally.recovered_in or 0.0, load.await_success(back))
        load.finish()
        bound = scale.within(BACK_SECONDS)
        tally.must((tally.recovered_in or 0.0) < bound, f"it took longer than {bound:g} s to go on")
        burnt = sum(system.logged(event) for event in ("handler_failed", "retried", "dead_lettered"))
        tally.must(burnt == 0, f"{burnt} attempts were counted as failed")
        tally.must(system.logged("database_unavailable") > 0, "no worker has noticed, so the row shows nothing")
        count(tally, system, load)
    return tally


def cut_during_commit(servers: Servers, scale: Scale) -> Tally:
    """The worker cannot know whether it has committed; the inbox does."""
    tally = Tally()
    cutter = Cutter(scale.of(200, 10))
    proxy = Proxy(port_of(servers.database.url), watch=cutter.watch)
    with made_of(servers) as system:
        system.add_worker(CATALOG_DATABASE_URL=through(proxy, system.database_url))
        system.add_front()
        system.wait_until_ready()
        cutter.begin()
        load = Load(system.urls, scale.creates).start()
        wait_until(cutter.is_done, CUTS_SECONDS, "all cuts are made")
        load.finish()
        tally.note(f"{cutter.before} cut before COMMIT arrived, {cutter.after} after")
        count(tally, system, load)
    proxy.close()
    return tally


class Cutter:
    """Cuts connections at their COMMIT, in turn before it arrives and before its answer does."""

    def __init__(self, cuts: int) -> None:
        self.before = self.after = 0
        self._cuts = cuts
        self._seen = 0
        self._begun = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """From here on it cuts."""
        self._begun = True

    def is_done(self) -> bool:
        """Whether as many were cut as were asked for."""
        return self.before + self.after >= self._cuts

    def watch(self, data: bytes) -> Verdict:
        """A COMMIT is sent by itself, as a simple query (PostgreSQL 55.2.2)."""
        if not self._begun or b"COMMIT\0" not in data:
            return Verdict.PASS
        with self._lock:
            self._seen += 1
            if self._seen % EVERY or self.is_done():
                return Verdict.PASS
            if self.before > self.after:
                self.after += 1
                return Verdict.CUT_AFTER
            self.before += 1
            return Verdict.CUT_BEFORE
