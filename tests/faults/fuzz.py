"""The fuzz: random and mutated messages to live workers, each of which must be accounted for.

A message is answered, or a dead letter, or refused by the broker, or its product is in the database.
"""

import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pika

from bus.database.encryption import key_of_this_process
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.servers.processes import Process
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until
from faults.fuzz_account import Account
from faults.fuzz_sender import Sender, name_of
from faults.scale import Scale
from faults.system import Servers
from faults.tally import Tally

SERVICES = ("catalog", "auth")
MESSAGES, SHORT_MESSAGES = 100_000, 2_000
# Another one makes other messages.
SEED_VARIABLE, USUAL_SEED = "FUZZ_SEED", "1"
START_SECONDS, DRAIN_SECONDS = 90.0, 600.0
# What a worker has in hand when the broker's figures, which are some seconds old, say that it has nothing.
SETTLED_SECONDS = 30.0


def fuzz(servers: Servers, scale: Scale) -> Tally:
    """Messages to workers of both services; the row ends when all queues are empty."""
    account = Account()
    with tempfile.TemporaryDirectory(prefix="bus-fuzz-") as name:
        recovered_in = _run(servers.broker, Path(name), account, scale.of(MESSAGES, SHORT_MESSAGES))
    tally = _tally(account)
    tally.recovered_in = recovered_in
    return tally


def _tally(account: Account) -> Tally:
    acknowledged = len(account.sent) - len(account.refused)
    tally = Tally(
        attempted=len(account.sent),
        acknowledged=acknowledged,
        ok=acknowledged - len(account.lost) - len(account.duplicated),
        lost=len(account.lost),
        duplicated=len(account.duplicated),
        unexpected=account.unexpected,
    )
    tally.must(not account.lost, f"lost, among others: {sorted(account.lost)[:10]}")
    tally.must(not account.duplicated, f"twice, among others: {sorted(account.duplicated)[:10]}")
    tally.must(not account.failures, f"faults of ours: {account.failures[:5]}")
    tally.must(not account.ended, f"ended: {', '.join(account.ended)}")
    # A fuzz that all goes one way proves nothing.
    for became in ("answers", "dead", "done", "refused"):
        tally.must(bool(getattr(account, became)), f"nothing became one of its {became}")
        tally.note(f"{became}: {len(getattr(account, became))}")
    return tally


def _run(broker: Broker, folder: Path, account: Account, messages: int) -> float:
    """Fill in the account; returns how long it took to work off what was left, in seconds."""
    url, seed = broker.fresh_vhost(), int(os.environ.get(SEED_VARIABLE, USUAL_SEED))
    with _workers(folder, url) as workers:
        wait_until(lambda: _consumed(url), START_SECONDS, "the workers consume")
        pids = [worker.pids()[:1] for worker in workers]
        sender = Sender(url, account, random.Random(seed))
        for number in range(messages):
            sender.send(str(number))
        started = time.monotonic()
        wait_until(lambda: sender.is_drained() and _is_idle(broker, url), DRAIN_SECONDS, "all queues are drained")
        recovered_in = time.monotonic() - started
        with suppress(TimeoutError):  # what is seen nowhere then is lost, and told as such
            wait_until(lambda: not account.lost - _seen(folder), SETTLED_SECONDS, "all is seen somewhere")
        sender.close()
        account.ended += [
            worker.name for worker, before in zip(workers, pids, strict=True) if worker.pids()[:1] != before
        ]
    account.done.update(_products(folder))
    account.dead.update(_dead_letters(folder))
    return recovered_in


@contextmanager
def _workers(folder: Path, url: str) -> Iterator[list[Process]]:
    workers = []
    for service in SERVICES:
        database = Database(f"sqlite:///{folder}/{service}.db")
        migrate(database, f"{service}.migrations")
        database.close()
        settings = {"BUS_URL": url, "DATA_DIR": str(folder), "RETRY_SECONDS": "1", "LOG_LEVEL": "error"}
        settings |= {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            f"{service.upper()}_DATABASE_KEY": key_of_this_process(),
        }
        environment = {**os.environ, **settings}
        workers.append(Process(service, (sys.executable, "-m", "bus.cli", "worker", service), folder, environment))
        workers[-1].start()
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop(signal.SIGTERM)


def _consumed(url: str) -> bool:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        try:
            return all(
                connection.channel().queue_declare(f"{service}.ping", passive=True).method.consumer_count
                for service in SERVICES
            )
        except pika.exceptions.ChannelClosedByBroker:
            return False


def _is_idle(broker: Broker, url: str) -> bool:
    """Whether nothing waits, and nothing is in a worker's hands, but dead letters."""
    listed = broker.ctl("list_queues", "-q", "--no-table-headers", "-p", url.rpartition("/")[2], "name", "messages")
    return all(line.split("\t")[1] == "0" for line in listed.splitlines() if not line.split("\t")[0].endswith(".dead"))


def _seen(folder: Path) -> set[str]:
    """The numbers of what is in the databases now."""
    return {*_products(folder), *_dead_letters(folder)}


def _products(folder: Path) -> Iterator[str]:
    """The numbers of the products that have the name they were sent with."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        for (name,) in connection.execute("SELECT name FROM products"):
            number = name.partition(" ")[0]
            if name == name_of(number):
                yield number


def _dead_letters(folder: Path) -> Iterator[str]:
    """The correlation ids of what was taken into the tables."""
    for service in SERVICES:
        with closing(sqlite3.connect(folder / f"{service}.db")) as connection:
            for (properties,) in connection.execute("SELECT properties FROM dead_letters"):
                yield json.loads(properties).get("correlation_id", "none")
