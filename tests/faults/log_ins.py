"""F39: log-ins while the worker dies and the servers are away.

A log-in is worth nothing late, so it is done at most once and in time: whatever happens, one attempt begins one session
at most, each session has its refresh token, and what was refused did not begin one afterwards.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import requests

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.waiting import wait_until
from faults.census import rows_of
from faults.member import FrontEnd, Member
from faults.scale import Scale
from faults.system import START_SECONDS, Servers, System, made_of
from faults.tally import Tally

ACCOUNT = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery staple"}
ANSWER_SECONDS = 60.0
QUICKLY_SECONDS = 1.0
# An attempt that waits somewhere has expired after this: front ends wait for 5 s.
LATE_SECONDS = 6.0
# The answer to what a worker had that died: it may have been done (decision 20).
UNKNOWN = "outcome-unknown"
SESSIONS = "SELECT device FROM sessions"
WITHOUT_TOKEN = "SELECT id FROM sessions WHERE id NOT IN (SELECT session_id FROM refresh_tokens)"  # SQL


def faults(servers: Servers, scale: Scale) -> Tally:
    """The database is away, and the broker; then the worker dies after its commit, and before it, again and again."""
    tally = Tally()
    with _running(servers) as desk:
        for name, server in (("database", servers.database), ("broker", servers.broker)):
            desk.try_once()
            server.stop()
            refused = [desk.try_once() for _ in range(scale.of(50, 5))]
            server.start()
            slowest = max(seconds for _, seconds in refused)
            tally.must({status for status, _ in refused} == {503}, f"{name} away: {refused}")
            tally.must(slowest < scale.within(QUICKLY_SECONDS), f"{name} away: an answer took {slowest:.1f} s")
            tally.note(f"{name} away: {len(refused)} refused, the slowest after {slowest * 1000:.0f} ms")
            time.sleep(LATE_SECONDS)
            desk.await_success()
        for place in scale.of(("worker.after-commit:5", "worker.before-commit:5"), ("worker.after-commit:3",)):
            worker = desk.put_worker(BUS_FAILPOINT=place)
            while worker.deaths < scale.of(20, 2):
                desk.await_success()
            tally.note(f"{worker.deaths} deaths at {place}")
        desk.count(tally)
    return tally


@dataclass
class _Desk:
    """A worker and a front end of auth, with one account; counts the attempts to log in by their device."""

    system: System
    front: FrontEnd
    worker: Member
    database_url: str
    answered: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=count)

    def try_once(self) -> tuple[int, float]:
        """One attempt: its status and seconds."""
        device = f"device {next(self.numbers)}"
        log_in = {"login": ACCOUNT["username"], "password": ACCOUNT["password"], "device": device}
        begun = time.monotonic()
        answer = requests.post(f"{self.front.url}/login", json=log_in, timeout=ANSWER_SECONDS)
        seconds = time.monotonic() - begun
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.answered.add(device)
        elif answer.status_code == 503 and answer.json()["code"] != UNKNOWN:
            self.refused.add(device)
        return answer.status_code, seconds

    def await_success(self) -> None:
        """Attempts until one succeeds, with a pause after each that does not."""
        wait_until(lambda: self.try_once()[0] == 200, START_SECONDS, "a log-in succeeds")

    def put_worker(self, **environment: str) -> Member:
        """Another worker in place of the one there is."""
        self.worker.terminate()
        self.worker = self.system.add_worker_of("auth", AUTH_DATABASE_URL=self.database_url, **environment)
        return self.worker

    def count(self, tally: Tally) -> None:
        """Compare what was answered with the sessions there are."""
        begun = Counter(str(device) for (device,) in rows_of(self.database_url, SESSIONS))
        tally.attempted += sum(self.statuses.values())
        tally.acknowledged += len(self.answered)
        tally.ok += sum(begun[device] == 1 for device in self.answered)
        tally.lost += sum(begun[device] == 0 for device in self.answered)
        tally.duplicated += sum(times > 1 for times in begun.values())
        late = sorted(self.refused & begun.keys())
        tally.must(not late, f"{late} were refused, and began a session all the same")
        half = list(rows_of(self.database_url, WITHOUT_TOKEN))
        tally.must(not half, f"{len(half)} sessions have no refresh token")
        strange = self.statuses.keys() - {200, 503, 504}
        tally.must(not strange, f"other answers came: {dict(self.statuses)}")
        tally.note(f"answers: {dict(self.statuses)}")


@contextmanager
def _running(servers: Servers) -> Iterator[_Desk]:
    with made_of(servers, "auth") as system:
        url = servers.database.fresh_database()
        database = Database(url)
        migrate(database, "auth.migrations")
        database.close()
        worker = system.add_worker_of("auth", AUTH_DATABASE_URL=url)
        front = system.add_front()
        system.wait_until_ready()
        made = requests.post(f"{front.url}/register", json=ACCOUNT, timeout=ANSWER_SECONDS)
        assert made.status_code == 201, made.text
        yield _Desk(system, front, worker, url)
