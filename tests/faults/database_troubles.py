"""F26 to F31: databases that misbehave without being away."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from bus.testing.waiting import wait_until
from faults.caller import Caller, Sample
from faults.counting import count
from faults.embedded import EmbeddedSystem, embedded_system
from faults.load import Load
from faults.member import FrontEnd
from faults.proxy import Proxy, Verdict, port_of, through
from faults.reads import Reads
from faults.scale import Scale
from faults.system import Servers, System, made_of, running
from faults.tally import Tally

BEFORE_SECONDS = 1.0
# Longer than a worker waits for any lock.
LOCKED_SECONDS = 15.0
READ_ONLY_SECONDS = 15.0
# A front end that asks its worker learns of it within this time.
NOTICED_SECONDS = 30.0
BACK_SECONDS = 15.0
# Longer than the socket's own time-outs, after which a worker gives the connection up.
SILENT_SECONDS, GIVEN_UP_SECONDS = 60.0, 45.0
DISK_MEGABYTES = 4
# What a worker logs when it counts an attempt as failed.
BURNT = ("handler_failed", "retried", "dead_lettered")


def table_locked(servers: Servers, scale: Scale) -> Tally:
    """Somebody's transaction keeps writers off the products. Commands wait for it, and reads do not."""

    @contextmanager
    def lock(system: System) -> Iterator[None]:
        with _sql(system.database_url) as connection:
            connection.execute(text("BEGIN"))
            connection.execute(text("LOCK TABLE products IN EXCLUSIVE MODE"))
            yield

    return _troubled(servers, scale, lock, LOCKED_SECONDS)


def read_only(servers: Servers, scale: Scale) -> Tally:
    """As after a failover: the server takes no writes, and says so to each. Reads go on, commands are kept."""

    @contextmanager
    def refuse_writes(system: System) -> Iterator[None]:
        _set_read_only(system.database_url, "on")
        try:
            yield
        finally:
            _set_read_only(system.database_url, "off")

    return _troubled(servers, scale, refuse_writes, scale.of(READ_ONLY_SECONDS, 5.0), is_unready=True)


def silent_commit(servers: Servers, scale: Scale) -> Tally:
    """The network swallows a COMMIT and all that follows on its connection. The worker does not wait for ever."""
    tally = Tally()
    silencer = Silencer()
    proxy = Proxy(port_of(servers.database.url), watch=silencer.watch)
    with made_of(servers) as system:
        system.add_worker(CATALOG_DATABASE_URL=through(proxy, system.database_url))
        system.add_front()
        system.wait_until_ready()
        load = Load(system.urls, scale.creates).start()
        time.sleep(BEFORE_SECONDS)
        silencer.begin()
        wait_until(lambda: silencer.swallowed_at is not None, NOTICED_SECONDS, "a COMMIT is swallowed")
        # What other connections had in hand is answered by then.
        silent = time.monotonic() + BEFORE_SECONDS
        tally.recovered_in = load.await_success(silent)
        load.finish()
        bound = scale.within(GIVEN_UP_SECONDS)
        tally.must(tally.recovered_in < bound, f"it took longer than {bound:g} s to go on")
        _must_burn_nothing(tally, system)
        count(tally, system, load)
    proxy.close()
    return tally


def connection_frozen(servers: Servers, scale: Scale) -> Tally:
    """The server's processes for a worker stand still, with their locks, and later go on where they were."""
    tally = Tally()
    with running(servers, workers=2) as system:
        load = Load(system.urls, scale.creates).start()
        time.sleep(BEFORE_SECONDS)
        backends = _backends(system.database_url)
        tally.must(bool(backends), "the database has no connection, so the row shows nothing")
        for backend in backends:
            backend.suspend()
        try:
            time.sleep(SILENT_SECONDS)
        finally:
            for backend in backends:
                backend.resume()
        tally.recovered_in = load.await_success(time.monotonic())
        load.finish()
        tally.must(tally.recovered_in < scale.within(BACK_SECONDS), f"it took {tally.recovered_in:.1f} s to go on")
        _must_burn_nothing(tally, system)
        count(tally, system, load)
    return tally


def write_lock_held(_servers: Servers, scale: Scale) -> Tally:
    """Embedded, on SQLite: another program begins to write and leaves it at that."""

    @contextmanager
    def lock(database: Path) -> Iterator[None]:
        other = sqlite3.connect(database, isolation_level=None, timeout=LOCKED_SECONDS)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
        finally:
            other.close()

    with embedded_system() as system:
        return _troubled_file(system, scale, lock, LOCKED_SECONDS)


def disk_full(_servers: Servers, scale: Scale) -> Tally:
    """Embedded, on SQLite, on a disk of its own that another program fills."""

    @contextmanager
    def fill(database: Path) -> Iterator[None]:
        ballast = database.parent / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:  # the disk is full
                yield
        ballast.unlink()

    with embedded_system(disk_megabytes=DISK_MEGABYTES) as system:
        return _troubled_file(system, scale, fill, READ_ONLY_SECONDS, is_unready=True)


class Silencer:
    """Swallows one COMMIT, and all that follows over its connection."""

    def __init__(self) -> None:
        self.swallowed_at: float | None = None
        self._begun = False

    def begin(self) -> None:
        """The next COMMIT is swallowed."""
        self._begun = True

    def watch(self, data: bytes) -> Verdict:
        """A COMMIT is sent by itself, as a simple query (PostgreSQL 55.2.2)."""
        if not self._begun or self.swallowed_at is not None or b"COMMIT\0" not in data:
            return Verdict.PASS
        self.swallowed_at = time.monotonic()
        return Verdict.SWALLOW


def _troubled(
    servers: Servers,
    scale: Scale,
    trouble: Callable[[System], AbstractContextManager[None]],
    seconds: float,
    *,
    is_unready: bool = False,
) -> Tally:
    """Trouble with a PostgreSQL under load, that lasts `seconds`; `is_unready` where readiness has to say so."""
    tally = Tally()
    with running(servers) as system:
        load = Load(system.urls, scale.creates).start()
        time.sleep(BEFORE_SECONDS)
        _suffer(tally, scale, load, system.fronts[0], trouble(system), seconds, is_unready=is_unready)
        ended = [member.name for member in system.members if member.exit_codes]
        tally.must(not ended, f"{ended} ended, and had to be started again")
        _must_burn_nothing(tally, system)
        count(tally, system, load)
    return tally


def _troubled_file(
    system: EmbeddedSystem,
    scale: Scale,
    trouble: Callable[[Path], AbstractContextManager[None]],
    seconds: float,
    *,
    is_unready: bool = False,
) -> Tally:
    """The same with the embedded system on SQLite."""
    tally, front = Tally(), system.front
    load = Load([front.url], scale.creates).start()
    time.sleep(BEFORE_SECONDS)
    _suffer(tally, scale, load, front, trouble(system.database), seconds, is_unready=is_unready)
    tally.must(not front.has_ended(), "the system ended")
    burnt = sum(1 for event in BURNT for _ in front.events(event))
    tally.must(burnt == 0, f"{burnt} attempts were counted as failed")
    load.add_to(tally, system.census())
    return tally


def _suffer(
    tally: Tally,
    scale: Scale,
    load: Load,
    front: FrontEnd,
    trouble: AbstractContextManager[None],
    seconds: float,
    *,
    is_unready: bool,
) -> None:
    """Let it happen. Reads must go on to its end, and creates soon after."""
    with trouble, Reads(front.url).going_on() as reads:
        began = time.monotonic()
        unready = _unready(front) if is_unready else None
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        late = sum(moment > began + seconds / 2 for moment in reads.answered)
        tally.must(late > 0, "no read was answered in the second half of the trouble")
        tally.note(f"{len(reads.answered)} reads answered meanwhile, {late} of them in its second half")
        created = sum(sample.status == 201 and sample.at > began + 1 for sample in list(load.samples))
        tally.must(created == 0, f"{created} products were created meanwhile, so the row shows nothing")
    if unready is not None:
        tally.note(f"/health/ready: {unready.status} {unready.code}: {unready.body['detail']}")
    tally.recovered_in = load.await_success(time.monotonic())
    load.finish()
    bound = scale.within(BACK_SECONDS)
    tally.must(tally.recovered_in < bound, f"it took longer than {bound:g} s to go on")


def _unready(front: FrontEnd) -> Sample:
    """The first answer of /health/ready that is no success. Raises TimeoutError."""
    caller, answers = Caller([front.url]), []

    def is_unready() -> bool:
        answers.append(caller.get("/health/ready"))
        return answers[-1].status == 503

    wait_until(is_unready, NOTICED_SECONDS, "/health/ready says that something is wrong")
    caller.close()
    return answers[-1]


def _must_burn_nothing(tally: Tally, system: System) -> None:
    burnt = sum(system.logged(event) for event in BURNT)
    tally.must(burnt == 0, f"{burnt} attempts were counted as failed")


def _set_read_only(url: str, value: str) -> None:
    """For all connections that come, and end those that are there."""
    with _sql(url) as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        driver = connection.connection.driver_connection
        assert driver is not None
        command = SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        driver.execute("SET default_transaction_read_only = off")
        driver.execute(command.format(Identifier(name), SQL(value)))
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def _backends(url: str) -> list[psutil.Process]:
    """The server's processes for a database, except the one that answers this."""
    with _sql(url) as connection:
        pids = connection.execute(
            text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        ).scalars()
        return [psutil.Process(pid) for pid in pids]


@contextmanager
def _sql(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
