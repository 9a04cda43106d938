"""The load: clients that create products over HTTP, each as a careful program would.

Every product has a name and an idempotency key of its own. What was not answered is sent again with the
same key; what was accepted is followed until its outcome is known.
"""

import asyncio
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER, AsyncCaller, Sample
from faults.census import Census
from faults.tally import Tally

CLIENTS = 16
# Between two tries of the usual clients: shorter than Retry-After asks for, so that the load stays a load. Of a crowd
# each waits longer, or it would be another load while everything is refused.
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 0.25
# A product that could not be created by then is given up; no fault lasts as long.
GIVE_UP_SECONDS = 150.0

DONE, ACCEPTED, BUSY, UNAVAILABLE = 201, 202, 409, 503
# To a question for an outcome; 504 is its answer that was late.
ANSWERS_TO_QUESTIONS = frozenset({200, 504})


def product_named(name: str) -> dict[str, object]:
    """The product that is created under a name, always the same."""
    return {"name": name, "price": 9.90, "quantity": 3}


class Load:
    """Creates at least `creates` products, and goes on until `finish` is called.

    `samples` are the answers to creates, `questions` those to questions for their outcome. `allows` are
    the statuses that the row expects besides a success; all others are unexpected. `path` and `body` are for what is
    created under other names than those of products, and may take longer: `give_up_seconds`.
    All clients share a thread.
    """

    def __init__(
        self,
        urls: list[str],
        creates: int,
        *,
        clients: int = CLIENTS,
        allows: frozenset[int] = frozenset({UNAVAILABLE}),
        prefix: str = "product",
        path: str = "/products",
        body: Callable[[str], object] = product_named,
        per_second: float | None = None,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self.samples: list[Sample] = []
        self.questions: list[Sample] = []
        self.attempted: set[str] = set()
        self.accepted: set[str] = set()
        self.answers: dict[str, int] = {}
        self.unexpected: list[str] = []
        self._creates = creates
        self._allows = allows | {DONE, ACCEPTED}
        self._prefix, self._path, self._body = prefix, path, body
        self._pace = None if per_second is None else clients / per_second
        self._clients, self._urls = clients, urls
        self._give_up_seconds = give_up_seconds
        self._numbers = itertools.count()
        self._may_end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work_all()), daemon=True)

    def start(self) -> "Load":
        """Start the clients."""
        self._thread.start()
        return self

    @property
    def is_going_on(self) -> bool:
        """Whether there are still products of the first `creates` to be sent."""
        return len(self.attempted) < self._creates

    def finish(self) -> None:
        """Let the clients finish what they have to do, and wait for them."""
        self._may_end.set()
        self._thread.join(2 * self._give_up_seconds)
        assert not self._thread.is_alive(), "a client of the load hangs"

    def run(self) -> None:
        """Create `creates` products and no more."""
        self.start().finish()

    def await_success(self, moment: float) -> float:
        """The seconds from a moment (time.monotonic()) to the next product created. Raises TimeoutError."""
        wait_until(lambda: self._successes_after(moment) != [], GIVE_UP_SECONDS, "something succeeds again")
        return min(self._successes_after(moment)) - moment

    def statuses(self) -> Counter[str]:
        """How often each answer came to a create, as "503 broker-away"."""
        return Counter(f"{sample.status} {sample.code}".strip() for sample in self.samples)

    def add_to(self, tally: Tally, census: Census) -> None:
        """Count what was created, and what came otherwise than it should."""
        promised = self.accepted | self.answers.keys()
        tally.count(self.attempted, promised, census)
        wrong = [name for name, product_id in self.answers.items() if census.id_of(name) != product_id]
        unexpected = [*self.unexpected, *(f"{name}: the id in its answer is another product's" for name in wrong)]
        tally.unexpected += len(unexpected)
        for text in unexpected[:5]:
            tally.note(f"unexpected: {text}")
        tally.note(", ".join(f"{times} x {answer}" for answer, times in sorted(self.statuses().items())))

    def _successes_after(self, moment: float) -> list[float]:
        return [sample.at for sample in list(self.samples) if sample.status == DONE and sample.at >= moment]

    async def _work_all(self) -> None:
        works = [self._work(AsyncCaller(self._urls, first)) for first in range(self._clients)]
        ended = await asyncio.gather(*works, return_exceptions=True)
        self.unexpected += [f"a client failed: {error!r}" for error in ended if error is not None]

    async def _work(self, caller: AsyncCaller) -> None:
        due = time.monotonic()
        for name in self._names():
            if self._pace is not None:
                due = max(due + self._pace, time.monotonic() - 1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._create(name, caller)
        caller.close()

    def _names(self) -> Iterator[str]:
        for number in self._numbers:
            if number >= self._creates and self._may_end.is_set():
                return
            yield f"{self._prefix} {number}"

    async def _create(self, name: str, caller: AsyncCaller) -> None:
        self.attempted.add(name)
        key, body = key_of(name), self._body(name)
        deadline = time.monotonic() + self._give_up_seconds
        while time.monotonic() < deadline:
            sample = await caller.post(self._path, body, key)
            self.samples.append(replace(sample, body=None))  # an hour has many
            if sample.status not in self._allows:
                self.unexpected.append(f"{name}: {sample.status} {sample.code}")
            if sample.status == DONE:
                return self._done(name, sample.body)
            if sample.status == ACCEPTED:
                self.accepted.add(name)
                return await self._follow(name, sample.body["operation"], caller, deadline)
            if sample.status not in (NO_ANSWER, BUSY, UNAVAILABLE):
                return None
            await self._pause()
        return self.unexpected.append(f"{name}: given up")

    async def _follow(self, name: str, operation: str, caller: AsyncCaller, deadline: float) -> None:
        while time.monotonic() < deadline:
            sample = await caller.get(operation)
            self.questions.append(replace(sample, body=None))
            if sample.status not in self._allows | ANSWERS_TO_QUESTIONS:
                self.unexpected.append(f"the outcome of {name}: {sample.status} {sample.code}")
            if sample.status == 200 and sample.body["state"] == "done":
                if sample.body["status"] == DONE:
                    return self._done(name, sample.body["reply"])
                return self.unexpected.append(f"{name}: its outcome is {sample.body['status']}")
            await self._pause()
        return self.unexpected.append(f"{name}: accepted, and never done")

    async def _pause(self) -> None:
        scale = max(1.0, self._clients / CLIENTS)
        await asyncio.sleep(scale * random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))

    def _done(self, name: str, reply: dict[str, object]) -> None:
        product = reply.get("product", reply)
        assert isinstance(product, dict)
        self.answers[name] = product["id"]


def key_of(name: str) -> str:
    """The idempotency key, and so the message id, of the command for a product."""
    return name.replace(" ", "-")
