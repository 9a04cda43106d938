"""F35 and F36: processes that stand still for longer than every time-out, and then go on where they were."""

import time
from collections.abc import Callable

from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER
from faults.counting import count
from faults.load import UNAVAILABLE, Load
from faults.member import Member
from faults.scale import Scale
from faults.system import Servers, System, made_of
from faults.tally import Tally

WORKER_PLACES = ("worker.before-commit", "worker.after-commit", "worker.before-ack", "relay.before-mark")
# Longer than two heartbeats, the wait for a lock, and the time-out of an idle transaction.
FROZEN_SECONDS, SHORT_FROZEN_SECONDS = 75.0, 45.0
# By then the broker has given the frozen one's messages to the other worker.
GIVEN_UP_SECONDS = 45.0
STOPPED_SECONDS, BACK_SECONDS, SENT_SECONDS = 60.0, 30.0, 60.0


def worker(servers: Servers, scale: Scale) -> Tally:
    """One worker of two stands still at each place in turn. The other works on; nothing is undone afterwards."""
    tally = Tally(recovered_in=0.0)
    for place in WORKER_PLACES:
        with made_of(servers) as system:
            frozen = system.add_worker(BUS_FAILPOINT=f"{place}:{scale.of(50, 16)}:stop")
            system.add_worker()
            system.add_front()
            _freeze(tally, scale, system, frozen, lambda: None)
    return tally


def front_end(servers: Servers, scale: Scale) -> Tally:
    """One front end of two stands still, with requests in hand. Its clients go to the other one."""
    tally = Tally(recovered_in=0.0)
    with made_of(servers) as system:
        system.add_worker()
        frozen = system.add_front()
        system.add_front()
        _freeze(tally, scale, system, frozen, frozen.freeze)
    return tally


def _freeze(tally: Tally, scale: Scale, system: System, frozen: Member, freeze: Callable[[], None]) -> None:
    system.wait_until_ready()
    load = Load(system.urls, scale.creates // len(WORKER_PLACES), allows=frozenset({NO_ANSWER, UNAVAILABLE})).start()
    time.sleep(1.0)
    freeze()
    wait_until(lambda: frozen.is_frozen, STOPPED_SECONDS, f"{frozen.name} stands still")
    began = time.monotonic()
    others = load.await_success(began + GIVEN_UP_SECONDS)
    tally.must(others < BACK_SECONDS, f"the others took {GIVEN_UP_SECONDS + others:.1f} s to go on")
    time.sleep(max(0.0, began + scale.of(FROZEN_SECONDS, SHORT_FROZEN_SECONDS) - time.monotonic()))
    # What was made before the last seconds: those may be on their way.
    wait_until(lambda: system.unsent_events(older_than=5) == 0, SENT_SECONDS, "the others have sent all events")
    told = dict(load.answers)
    frozen.thaw()
    thawed = time.monotonic()
    tally.recovered_in = max(tally.recovered_in or 0.0, load.await_success(thawed))
    load.finish()
    tally.must(told.items() <= load.answers.items(), "an answer was another one afterwards")
    wait_until(lambda: system.unsent_events() == 0, SENT_SECONDS, "all events are sent")
    count(tally, system, load)
