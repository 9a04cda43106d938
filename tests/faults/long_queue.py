"""F40 and F41: very many commands wait in one queue, and people go on using the service."""

import json
import time

from bus.messaging.connect import transport_for
from bus.messaging.message import JSON, Message
from bus.messaging.publishing import publish_all
from bus.messaging.transport import PublishOutcome, TransportOptions
from bus.testing.waiting import wait_until
from faults.caller import Caller, Sample
from faults.census import Census
from faults.counting import count_dead
from faults.load import key_of, product_named
from faults.scale import Scale
from faults.system import Servers, System, made_of
from faults.tally import Tally

QUEUE = "catalog.create_product"
MANY, VERY_MANY = 20_000, 200_000
# Published together, and so with a few confirms.
BATCH = 5_000
START_SECONDS, CONFIRM_SECONDS, DONE_SECONDS = 90.0, 60.0, 600.0
# Reads and other commands; more than this is not "as before".
QUICKLY_SECONDS = 1.0
PAUSE_SECONDS = 0.02
# One command in so many seconds waits, to notice the end of the backlog.
PROBE_SECONDS = 30.0


def many(servers: Servers, scale: Scale) -> Tally:
    """Enough for some seconds of work."""
    return _behind(servers, scale, MANY)


def very_many(servers: Servers, scale: Scale) -> Tally:
    """Enough for some minutes of work."""
    return _behind(servers, scale, VERY_MANY)


def _behind(servers: Servers, scale: Scale, number: int) -> Tally:
    """Reads, another command, and the command that has the backlog, one after the other, until it is worked off."""
    tally, bound = Tally(), {"QUEUE_BOUND": str(2 * number)}
    names = [f"waits {n}" for n in range(number)]
    with made_of(servers) as system:
        first = system.add_worker(**bound)
        system.add_front()
        system.wait_until_ready()
        caller = Caller(system.urls)
        product = caller.post("/products", product_named("changed"), "changed").body["product"]["id"]
        first.terminate()
        confirmed = _fill(system, names)
        system.add_worker(**bound)
        wait_until(lambda: system.queues.consumers(QUEUE) > 0, START_SECONDS, "a worker consumes")
        begun = time.monotonic()
        reads, changes, creates = _use(system, caller, product)
        seconds = time.monotonic() - begun
        tally.note(f"{number} commands took {seconds:.1f} s; {len(reads)} reads, {len(changes)} changes and "
                   f"{len(creates)} creates meanwhile")  # fmt: skip
        tally.must(bool(reads), "nothing was read while they waited")
        tally.must({each.status for each in reads} == {200}, f"reads: {_statuses(reads)}")
        tally.must({each.status for each in changes} <= {200, 202}, f"changes: {_statuses(changes)}")
        tally.must({each.status for each in creates} <= {201, 202}, f"creates: {_statuses(creates)}")
        slow = [each for each in [*reads, *changes] if each.seconds > scale.within(QUICKLY_SECONDS)]
        tally.must(
            not slow, f"{len(slow)} reads and changes were slow: {max((s.seconds for s in slow), default=0):.1f} s"
        )
        waited = [each for each in creates if each.seconds > scale.within(QUICKLY_SECONDS)]
        allowed = 2 + seconds / PROBE_SECONDS
        tally.must(len(waited) <= allowed, f"{len(waited)} of {len(creates)} creates waited in vain")
        census = Census(system.database_url)
        tally.count(names, confirmed, census)
        count_dead(tally, system)
    return tally


def _fill(system: System, names: list[str]) -> list[str]:
    transport = transport_for(system.bus_url, "fills")
    transport.open(TransportOptions())
    assert transport.wait_until_ready(START_SECONDS), "the sender is connected"
    confirmed: list[str] = []
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        messages = [
            Message(
                queue=QUEUE,
                body=json.dumps(product_named(name)).encode(),
                message_id=key_of(name),
                content_type=JSON,
                persistent=True,
            )
            for name in batch
        ]
        outcomes = publish_all(transport, messages, CONFIRM_SECONDS)
        confirmed += [n for n, each in zip(batch, outcomes, strict=True) if each is PublishOutcome.CONFIRMED]
    transport.close(CONFIRM_SECONDS)
    return confirmed


def _use(system: System, caller: Caller, product: int) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Until nothing waits any more."""
    reads: list[Sample] = []
    changes: list[Sample] = []
    creates: list[Sample] = []
    deadline = time.monotonic() + DONE_SECONDS
    while system.queues.length(QUEUE) and time.monotonic() < deadline:
        number = len(reads)
        reads.append(caller.get("/products?limit=1"))
        changes.append(caller.post(f"/products/{product}/stock", {"change": 1, "reason": "found"}, f"change-{number}"))
        creates.append(caller.post("/products", product_named(f"person {number}"), f"person-{number}"))
        time.sleep(PAUSE_SECONDS)
    return reads, changes, creates


def _statuses(samples: list[Sample]) -> list[int]:
    return sorted({each.status for each in samples})
