"""F16, F17 and F23: queues that are full, blocked or gone."""

import time

from bus.messaging.topology import Limits
from bus.testing.waiting import wait_until
from faults.backlog import Backlog
from faults.caller import Caller, Sample
from faults.census import Census
from faults.counting import count, count_dead
from faults.load import UNAVAILABLE, Load, key_of, product_named
from faults.scale import Scale
from faults.standstills import Standstills
from faults.system import Servers, System, made_of, running
from faults.tally import Tally

BOUND = 100
# Quorum queues count in the background, so some messages more get in before the first is refused.
SLACK = 50
# The queue is full when so many were refused; a second on an idle machine.
REFUSALS, FILL_SECONDS = 40, 60.0
QUICKLY_SECONDS = 1.0
BEFORE_SECONDS = 1.0
# How often it is asked during the alarm.
ASKED, SHORT_ASKED, ASK_EVERY_SECONDS = 20, 10, 0.2
CLEARED_SECONDS = 2.0
USUAL_WATERMARK = "0.4"
DECLARED_SECONDS = 5.0
READY_SECONDS = 30.0


def full(servers: Servers, scale: Scale) -> Tally:
    """Nobody works a queue off. What does not fit is refused, and what fits is done in the end."""
    tally = Tally()
    limits = Limits(queue_bound=BOUND)
    with made_of(servers, "faulty") as system, Backlog(system, limits) as backlog, Standstills() as standstills:
        backlog.start()
        wait_until(lambda: len(backlog.refusals) >= REFUSALS, FILL_SECONDS, "the queue is full")
        confirmed = backlog.finish()
        refused = backlog.refusals
        tally.must(len(confirmed) + len(refused) == len(backlog.attempted), "something was neither taken nor refused")
        codes = {(refusal.problem.status, refusal.problem.code) for refusal in refused}
        tally.must(codes == {(503, "queue-full")}, f"the refusals are {sorted(codes)}")
        tally.must(BOUND <= len(confirmed) <= BOUND + SLACK, f"{len(confirmed)} fitted into a queue of {BOUND}")
        tally.note(f"{len(confirmed)} confirmed, {len(refused)} refused")
        front = system.add_front()
        caller = Caller([front.url])
        # So it says when it is connected; before, it would wait for that.
        wait_until(lambda: caller.get("/health/ready").code == "no-worker", READY_SECONDS, "the front end is connected")
        refusal = caller.post("/products", product_named("one more"), "one-more")
        tally.must(refusal.status == UNAVAILABLE, f"over HTTP the answer is {refusal.status}")
        backlog.execute(QUEUE_BOUND=str(BOUND))
        seconds = _seconds(refusal, standstills)
        tally.must(seconds < QUICKLY_SECONDS, f"over HTTP the answer took {seconds:.2f} s")
        census = Census(system.database_url)
        tally.count(backlog.attempted, confirmed, census)
        tally.must(len(census) == len(confirmed), "something was done that was refused")
        count_dead(tally, system)
    return tally


def memory_alarm(servers: Servers, scale: Scale) -> Tally:
    """A broker without memory takes nothing, and every publisher is told at once."""
    tally = Tally()
    with running(servers) as system, Standstills() as standstills:
        load = Load(system.urls, scale.creates, clients=scale.crowd).start()
        time.sleep(BEFORE_SECONDS)
        servers.broker.ctl("set_vm_memory_high_watermark", "0")
        alarmed = time.monotonic()
        asked = _ask_during_alarm(system, scale.of(ASKED, SHORT_ASKED))
        clearing = time.monotonic()
        servers.broker.ctl("set_vm_memory_high_watermark", USUAL_WATERMARK)
        tally.recovered_in = load.await_success(time.monotonic())
        load.finish()
        bound = scale.within(CLEARED_SECONDS)
        tally.must(tally.recovered_in < bound, f"the first success came after {tally.recovered_in:.1f} s")
        late = [
            sample
            for sample in asked.values()
            if sample.status != UNAVAILABLE or _seconds(sample, standstills) > scale.within_crowd(QUICKLY_SECONDS)
        ]
        tally.must(not late, f"{len(late)} of {len(asked)} answers during the alarm were no quick 503: {late}")
        during = [sample for sample in load.samples if sample.at >= alarmed and sample.begun < clearing]
        slowest, code = max((_seconds(sample, standstills), sample.code) for sample in during)
        tally.note(f"{len(asked)} more asked; the slowest answer took {slowest:.2f} s: {code}")
        # Those whose command was on its way learn of the alarm from the next one that is published.
        quickly = scale.within_crowd(2 * QUICKLY_SECONDS)
        tally.must(slowest < quickly, f"an answer on its way took {slowest:.2f} s")
        count(tally, system, load)
        tally.count(asked, [], Census(system.database_url))
    return tally


def _seconds(sample: Sample, standstills: Standstills) -> float:
    """How long an answer took of the time that there was."""
    return sample.seconds - standstills.seconds(sample.begun, sample.at)


def _ask_during_alarm(system: System, times: int) -> dict[str, Sample]:
    """Create something new every moment; the answers by name."""
    caller = Caller(system.urls)
    asked = {}
    for number in range(times):
        name = f"during alarm {number}"
        asked[name] = caller.post("/products", product_named(name), key_of(name))
        time.sleep(ASK_EVERY_SECONDS)
    return asked


def deleted(servers: Servers, scale: Scale) -> Tally:
    """Somebody deletes queues that workers consume. What was in them is gone, so they are empty here."""
    tally = Tally(recovered_in=0.0)
    with running(servers, workers=2) as system:
        caller = Caller(system.urls)
        first = Load(system.urls, scale.creates // 2, prefix="before")
        first.run()
        for turn in range(scale.of(5, 1)):
            for queue in ("catalog.create_product", "catalog.get_product", "catalog.ping"):
                system.queues.delete(queue)
                gone = time.monotonic()
                wait_until(
                    lambda: system.queues.consumers(queue) == 2,  # noqa: B023  # waited for in this turn
                    READY_SECONDS,
                    f"{queue} is consumed again",
                )
                tally.recovered_in = max(tally.recovered_in or 0.0, time.monotonic() - gone)
            name = f"between {turn}"
            answer = caller.post("/products", product_named(name), key_of(name))
            tally.must(answer.status == 201, f"afterwards a create is answered {answer.status} {answer.code}")
        tally.must((tally.recovered_in or 0.0) < DECLARED_SECONDS, f"it took {tally.recovered_in:.1f} s")
        second = Load(system.urls, scale.creates // 2, prefix="after")
        second.run()
        count(tally, system, first, second)
    return tally
