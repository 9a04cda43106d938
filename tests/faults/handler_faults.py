"""F13 to F15: handlers that are slow, hang, or kill their process."""

import time
from collections.abc import Collection
from signal import SIGKILL

from bus.client.client import ANSWER_SECONDS
from bus.testing.waiting import wait_until
from faults.census import Census
from faults.counting import count, count_dead, dead
from faults.direct import declare_faulty, send
from faults.load import ACCEPTED, UNAVAILABLE, Load, key_of
from faults.scale import Scale
from faults.system import Servers, System, made_of
from faults.tally import Tally

QUEUE = "faulty.make"
LATE_SECONDS = 0.5
# Two in its queue, then three in the quarantine; three more where a worker is killed in the moment between a copy's
# confirm and the original's acknowledgement, which leaves a second copy (decision 9).
MOST_DEATHS = 8
# What the hanging and the killing need: as many restarts of the worker, and the hanging its deadline each time.
SETTLED_SECONDS = 120.0
HANDLER_SECONDS = 2.0
AFTERWARDS = 20
RESTORED_SECONDS = 10.0


def slow(servers: Servers, scale: Scale) -> Tally:
    """The caller is told 202 at its deadline, and finds the outcome later."""
    tally = Tally()
    slow_ones = scale.of(4, 2)
    with made_of(servers, "faulty") as system:
        for _ in range(slow_ones):
            system.add_worker()
        system.add_front()
        system.wait_until_ready()
        load = Load(system.urls, slow_ones, clients=slow_ones, prefix="slow")
        load.run()
        # A worker that a busy machine has not let go on is taken for none, and the command is sent again.
        answers = [(sample.status, sample.seconds) for sample in load.samples if sample.status != UNAVAILABLE]
        tally.must([status for status, _ in answers] == [ACCEPTED] * slow_ones, "something slow was not answered 202")
        slowest = max(seconds for _, seconds in answers)
        tally.must(slowest < scale.within(ANSWER_SECONDS + LATE_SECONDS), f"an answer came after {slowest:.2f} s")
        tally.must(len(load.answers) == slow_ones, "an outcome cannot be read")
        count(tally, system, load)
    return tally


def hanging(servers: Servers, scale: Scale) -> Tally:
    """The process that hangs is ended; its message is a dead letter in the end, and the others are done."""
    tally = Tally()
    with made_of(servers, "faulty") as system:
        neighbours = _with_one_among(system, "hang", scale.of(200, 20), tally, HANDLER_SECONDS=str(HANDLER_SECONDS))
        [worker] = system.workers
        codes = set(worker.exit_codes)
        tally.must(bool(codes) and not codes & {0, -SIGKILL}, f"the hanging worker ended with {sorted(codes)}")
        started = time.monotonic()
        afterwards = [f"afterwards {number}" for number in range(AFTERWARDS)]
        neighbours += send(system.bus_url, QUEUE, afterwards)
        wait_until(lambda: _are_done(system, afterwards), SETTLED_SECONDS, "what came afterwards is done")
        tally.recovered_in = time.monotonic() - started
        tally.must(tally.recovered_in < RESTORED_SECONDS, f"capacity was back after {tally.recovered_in:.1f} s")
        tally.count(neighbours, neighbours, Census(system.database_url))
        count_dead(tally, system, guilty={"hang"})
    return tally


def killing(servers: Servers, scale: Scale) -> Tally:
    """The message that kills ends among the dead letters, and takes no neighbour along."""
    tally = Tally()
    with made_of(servers, "faulty") as system:
        neighbours = _with_one_among(system, "kill", scale.of(999, 199), tally)
        [worker] = system.workers
        tally.must(worker.deaths > 0, "nothing died, so the row shows nothing")
        tally.count(neighbours, neighbours, Census(system.database_url))
        count_dead(tally, system, guilty={"kill"})
    return tally


def _with_one_among(system: System, guilty: str, neighbours: int, tally: Tally, **environment: str) -> list[str]:
    """Let a worker begin with a full queue, and one bad message in its middle; return when all is settled.

    The names of the neighbours that the broker has confirmed.
    """
    declare_faulty(system.bus_url)
    names = [f"neighbour {number}" for number in range(neighbours)]
    half = neighbours // 2
    sent = send(system.bus_url, QUEUE, [*names[:half], guilty, *names[half:]])
    tally.must(len(sent) == neighbours + 1, "the broker did not take all messages")
    worker = system.add_worker(**environment)
    system.wait_until_ready()
    wait_until(lambda: _are_done(system, names), SETTLED_SECONDS, "the neighbours are done")
    wait_until(lambda: key_of(guilty) in dead(system), SETTLED_SECONDS, f"the {guilty} message is a dead letter")
    ends = len(worker.exit_codes)
    tally.note(f"the worker ended {ends} times")
    tally.must(ends <= MOST_DEATHS, f"it took {ends} deaths to set the message aside")
    tally.must(not Census(system.database_url).times(guilty), "the bad message was carried out")
    return names


def _are_done(system: System, names: Collection[str]) -> bool:
    census = Census(system.database_url)
    return all(census.times(name) for name in names)
