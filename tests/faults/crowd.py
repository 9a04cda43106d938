"""A crowd: many clients on one event loop, each with its own connections, which create products one after the other.

    python -m faults.crowd URL CLIENTS

Writes `connected` once they have created as many products. When all have lost the broker and are back, and what each
has begun is done, it writes a JSON object: `back` has the times (time.time()) at which the clients had a broker again,
`attempted` the names of all products, `answered` the ids of those that were answered, `failures` what ended a client.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import partial
from itertools import count
from queue import Empty

from bus.client.client import Client
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.messaging.connect import transport_for
from bus.messaging.waiting import Hub, mailbox
from bus.telemetry.logs import configure_logs
from catalog.contract import CreateProduct
from faults.load import key_of

CONNECT_SECONDS, LOST_SECONDS, BACK_SECONDS = 120.0, 30.0, 60.0
POLL_SECONDS = 0.01
# Between two tries. Longer than a client needs that comes to its turn last.
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 3.0
# Longer than the broker is away, and until all that wait have their turn.
ANSWER_SECONDS = 150.0


@dataclass
class Crowd:
    """What became of the clients and their products."""

    back: list[float] = field(default_factory=list)
    attempted: list[str] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


async def main(url: str, number: int) -> None:
    """Connect, lose the broker, come back, and be answered."""
    loop = asyncio.get_running_loop()
    clients = [Client(transport_for(url, f"crowd-{each}", loop)) for each in range(number)]
    await _until(lambda: all(map(_is_connected, clients)), CONNECT_SECONDS, "all are connected")
    hub, crowd, is_over = Hub(loop), Crowd(), asyncio.Event()
    at_work = set(range(number))
    for place, client in enumerate(clients):
        hub.start(partial(_work, client, place, crowd, is_over, at_work))
    await _until(lambda: len(crowd.answered) >= number, CONNECT_SECONDS, "about one of each is answered")
    _tell("connected")
    await _until(lambda: not any(map(_is_connected, clients)), LOST_SECONDS, "all have lost the broker")
    crowd.back = await _times_of_return(clients)
    is_over.set()
    await _until(lambda: not at_work, 2 * ANSWER_SECONDS, "all are answered")
    _tell(json.dumps(asdict(crowd)))


def _work(client: Client, place: int, crowd: Crowd, is_over: asyncio.Event, at_work: set[int]) -> None:
    """A task. It creates until it is over."""
    try:
        for turn in count():
            if is_over.is_set():
                break
            name = f"product {place} {turn}"
            crowd.attempted.append(name)
            crowd.answered[name] = _created(client, name)
    except Exception as error:
        crowd.failures.append(repr(error))
    at_work.remove(place)


def _created(client: Client, name: str) -> int:
    """The id of a product. Raises the last exception, after ANSWER_SECONDS."""
    deadline = time.monotonic() + ANSWER_SECONDS
    command = CreateProduct(name=name, price=Decimal("9.90"), quantity=3)
    while True:
        try:
            return client.call(command, message_id=key_of(name)).product.id
        except (Unavailable, ReplyTimeout):
            if time.monotonic() > deadline:
                raise
        with suppress(Empty):
            mailbox().get(timeout=random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))


async def _times_of_return(clients: list[Client]) -> list[float]:
    away, back = list(clients), []
    deadline = time.monotonic() + BACK_SECONDS
    while away and time.monotonic() < deadline:
        returned = [client for client in away if _is_connected(client)]
        back += [time.time()] * len(returned)
        away = [client for client in away if client not in returned]
        await asyncio.sleep(POLL_SECONDS)
    return back


async def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)


def _is_connected(client: Client) -> bool:
    return client._transport.reply_address is not None


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    configure_logs("error")
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
