"""F1 to F4: workers that die."""

import random
import time

from faults.counting import count
from faults.load import Load
from faults.member import Member
from faults.scale import Scale
from faults.system import Servers, running
from faults.tally import Tally

KILL_EVERY_SECONDS = 3.0


def before_commit(servers: Servers, scale: Scale) -> Tally:
    """What was not committed did not happen, and is done by the next delivery."""
    return _dying_at("worker.before-commit", servers, scale)


def after_commit(servers: Servers, scale: Scale) -> Tally:
    """What was committed is answered from the inbox by the next delivery."""
    return _dying_at("worker.after-commit", servers, scale)


def before_acknowledgement(servers: Servers, scale: Scale) -> Tally:
    """What was answered is answered again, and the caller does not notice."""
    return _dying_at("worker.before-ack", servers, scale)


def random_kills(servers: Servers, scale: Scale) -> Tally:
    """Two workers of four are killed every three seconds."""
    chance = random.Random(4)  # the same workers in every run
    tally = Tally()
    with running(servers, workers=4) as system:
        load = Load(system.urls, scale.creates).start()
        for _ in range(scale.of(10, 2)):
            time.sleep(KILL_EVERY_SECONDS)
            for worker in chance.sample(system.workers, 2):
                worker.kill()
        load.finish()
        tally.note(f"{sum(worker.deaths for worker in system.workers)} deaths")
        count(tally, system, load)
    return tally


def _dying_at(place: str, servers: Servers, scale: Scale) -> Tally:
    tally = Tally()
    deaths_at = f"{place}:{scale.of(50, 16)}"
    with running(servers, BUS_FAILPOINT=deaths_at) as system:
        load = Load(system.urls, scale.creates)
        load.run()
        [worker] = system.workers
        tally.must(worker.deaths > 0, f"no worker died at {deaths_at}")
        tally.note(f"{worker.deaths} deaths")
        if place == "worker.before-ack":
            twice = _answered_twice(worker)
            tally.must(twice > 0, "nothing was answered twice, so the row shows nothing")
            tally.note(f"{twice} answered twice")
        count(tally, system, load)
    return tally


def _answered_twice(worker: Member) -> int:
    ids = [event["id"] for event in worker.events("answered")]
    return len(ids) - len(set(ids))
