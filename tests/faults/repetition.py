"""F18 and F19: messages that come twice, and replies that nobody takes."""

import threading
import time
from collections import Counter, defaultdict

from bus.testing.waiting import wait_until
from faults.caller import Caller
from faults.census import Census
from faults.counting import count_dead
from faults.direct import publish
from faults.load import ACCEPTED, BUSY, UNAVAILABLE, key_of, product_named
from faults.queues import channel
from faults.scale import Scale
from faults.system import Servers, System, running
from faults.tally import Tally

QUEUE = "catalog.create_product"
AT_ONCE = 50
# Silence of the replies for so long means that no more come; a busy machine is silent for seconds.
SILENCE_SECONDS = 30.0
DONE_SECONDS = 120.0
# What a worker that keeps anything of a dead address would exceed by far.
SLACK_MEGABYTES = 8.0


def published_twice(servers: Servers, scale: Scale) -> Tally:
    """Everything comes twice, in the same batches and across two workers, and is answered alike."""
    tally = Tally()
    with running(servers, workers=2) as system:
        names = [f"twice {number}" for number in range(scale.creates)]
        replies = _answers(system, [name for name in names for _ in (1, 2)])
        complete = [name for name in names if len(replies[key_of(name)]) == 2]
        tally.must(complete == names, f"{len(names) - len(complete)} were not answered twice")
        equal = all(len(set(answers)) == 1 for answers in replies.values())
        tally.must(equal, "two replies to one message differ")
        once = _at_once(system, tally)
        census = Census(system.database_url)
        tally.count([*names, *once], [*complete, *once], census)
        tally.must(len(census) == len(names) + 1, f"there are {len(census)} products")
        count_dead(tally, system)
    return tally


def dead_reply_addresses(servers: Servers, scale: Scale) -> Tally:
    """The reply queue of every message is gone. The work is done, and the worker keeps nothing of it."""
    tally = Tally()
    with running(servers) as system:
        [worker] = system.workers
        total = scale.of(10_000, 500)
        names = [f"nobody {number}" for number in range(total)]
        warm = names[: total // 2]
        _publish_to_nobody(system, warm)
        early = _megabytes(worker.processes()[0].memory_info().rss)
        _publish_to_nobody(system, names[total // 2 :])
        late = _megabytes(worker.processes()[0].memory_info().rss)
        tally.count(names, names, Census(system.database_url))
        tally.must(late - early < SLACK_MEGABYTES, f"the worker grew from {early:.1f} to {late:.1f} MB")
        tally.must(not worker.exit_codes, "the worker has ended")
        tally.must(system.fronts[0].is_ready(), "the service does not answer any more")
        tally.note(f"the worker had {early:.1f} MB after half, {late:.1f} after all")
        count_dead(tally, system)
    return tally


def _answers(system: System, names: list[str]) -> dict[str, list[bytes]]:
    """Publish a command for each name, in this order; all replies by message id, until no more come."""
    replies: dict[str, list[bytes]] = defaultdict(list)
    with channel(system.bus_url) as opened:
        address = opened.queue_declare("", exclusive=True).method.queue
        for name in names:
            publish(opened, QUEUE, name, address)
        for _, properties, body in opened.consume(address, auto_ack=True, inactivity_timeout=SILENCE_SECONDS):
            if properties is None:
                break
            replies[properties.correlation_id].append(body)
            if sum(map(len, replies.values())) == len(names):
                break
    return replies


def _at_once(system: System, tally: Tally) -> list[str]:
    """Fifty clients send one command in one moment over HTTP."""
    name, answers = "one of fifty", Counter[str]()
    together = threading.Barrier(AT_ONCE)

    def send() -> None:
        caller = Caller(system.urls)
        together.wait(DONE_SECONDS)
        deadline = time.monotonic() + DONE_SECONDS
        sample = caller.post("/products", product_named(name), key_of(name))
        while sample.status in (ACCEPTED, BUSY, UNAVAILABLE) and time.monotonic() < deadline:
            sample = caller.post("/products", product_named(name), key_of(name))
        answers[f"{sample.status} {sample.body}"] += 1
        caller.close()

    threads = [threading.Thread(target=send, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DONE_SECONDS)
    tally.must(len(answers) == 1 and sum(answers.values()) == AT_ONCE, f"fifty at once got {answers}")
    tally.must(next(iter(answers), "").startswith("201"), "fifty at once were not answered 201")
    return [name]


def _publish_to_nobody(system: System, names: list[str]) -> None:
    """Return when all are done."""
    with channel(system.bus_url) as opened:
        for name in names:
            publish(opened, QUEUE, name, f"amq.gen-gone-{key_of(name)}")
    wait_until(lambda: Census(system.database_url).times(names[-1]) > 0, DONE_SECONDS, "the last one is done")


def _megabytes(count: int) -> float:
    return count / 1e6
