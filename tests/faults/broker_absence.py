"""F6 to F8: a broker that goes away and comes back."""

import statistics
import time
from collections.abc import Callable

import psutil

from faults.backlog import Backlog
from faults.caller import Sample
from faults.census import Census
from faults.counting import count
from faults.load import Load
from faults.scale import Scale
from faults.system import Servers, System, running
from faults.tally import Tally

# A quorum queue that is declared right before its node dies may come back unusable.
SETTLED_SECONDS = 6.0
# How long the load runs before the broker goes, and how long it is gone.
BEFORE_SECONDS = 2.0
BACK_SECONDS = 5.0
QUICKLY_SECONDS = 1.0
MINUTE_SECONDS = 60.0
# What allocators do by themselves in a minute.
SLACK_MEGABYTES = 4.0


def stopped(servers: Servers, scale: Scale) -> Tally:
    """The broker ends in order."""
    return _away(servers, scale, servers.broker.stop, settled=0.0)


def killed(servers: Servers, scale: Scale) -> Tally:
    """The broker ends as by a power cut."""
    return _away(servers, scale, servers.broker.kill, settled=SETTLED_SECONDS)


def long_away(servers: Servers, scale: Scale) -> Tally:
    """A minute without a broker: every answer is a quick no, and the front end does not swell."""
    tally = Tally()
    with running(servers) as system:
        load = Load(system.urls, scale.creates, clients=scale.crowd).start()
        time.sleep(BEFORE_SECONDS)
        servers.broker.stop()
        stopped = time.monotonic()
        time.sleep(MINUTE_SECONDS / 6)
        early = _size_of(system)
        time.sleep(MINUTE_SECONDS * 5 / 6)
        late = _size_of(system)
        away = [sample for sample in list(load.samples) if sample.begun > stopped]
        servers.broker.start()
        _await_success(tally, load, time.monotonic(), scale)
        load.finish()
        _must_be_quick(tally, away)
        tally.note(f"the front end had {early[0]} threads and {early[1]} MB early, {late[0]} and {late[1]} late")
        tally.must(late[0] <= early[0], f"the front end had {early[0]} threads, and then {late[0]}")
        tally.must(late[1] <= early[1] + SLACK_MEGABYTES, f"the front end grew from {early[1]} to {late[1]} MB")
        count(tally, system, load)
    return tally


def _away(servers: Servers, scale: Scale, end: Callable[[], None], settled: float) -> Tally:
    tally = Tally()
    with running(servers) as system, Backlog(system) as backlog:
        time.sleep(settled)
        load = Load(system.urls, scale.creates).start()
        backlog.start()
        time.sleep(BEFORE_SECONDS)
        end()
        time.sleep(BEFORE_SECONDS)
        servers.broker.start()
        _await_success(tally, load, time.monotonic(), scale)
        load.finish()
        confirmed = backlog.finish()
        ended = [member.name for member in system.members if member.exit_codes]
        tally.must(not ended, f"{ended} ended, and had to be started again")
        backlog.execute()
        count(tally, system, load)
        tally.count(backlog.attempted, confirmed, Census(system.database_url))
        unknown = sum(sample.code == "outcome-unknown" for sample in load.samples)
        tally.note(f"{unknown} outcomes unknown over HTTP; {len(confirmed)} of {len(backlog.attempted)} sent confirmed")
    return tally


def _await_success(tally: Tally, load: Load, back: float, scale: Scale) -> None:
    """Note how long the first success takes after the broker is back."""
    tally.recovered_in = load.await_success(back)
    tally.must(
        tally.recovered_in < scale.within(BACK_SECONDS), f"the first success came after {tally.recovered_in:.1f} s"
    )


def _must_be_quick(tally: Tally, samples: list[Sample]) -> None:
    p99 = statistics.quantiles([sample.seconds for sample in samples], n=100)[98]
    tally.must(all(sample.status == 503 for sample in samples), "something else than 503 came while it was away")
    tally.must(p99 < QUICKLY_SECONDS, f"the 99th percentile of the answers is {p99:.2f} s")
    tally.note(f"{len(samples)} answers while it was away, p99 {p99 * 1000:.0f} ms")


def _size_of(system: System) -> tuple[int, float]:
    """Threads and resident megabytes of the front end's processes."""
    processes: list[psutil.Process] = system.fronts[0].processes()
    megabytes = sum(process.memory_info().rss for process in processes) / 1e6
    return sum(process.num_threads() for process in processes), round(megabytes, 1)
