"""Contenders: front ends with a service behind them, all with the same two routes."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGTERM

from bus.testing.servers.processes import Process
from bus.testing.waiting import wait_until

# A process is up after two seconds on an idle machine.
START_SECONDS = 60.0
# A first request may have to wait for everything behind it.
FIRST_ANSWER_SECONDS = 5.0
# Products to read: enough not to ask for the same one all the time.
PRODUCTS = 50

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True)
class Contender:
    """A system that runs: where it is, and its processes."""

    name: str
    url: str
    front: Process
    service: Process

    def fill(self) -> None:
        """Wait until it works, and create the products to read: in an empty database their ids are 1 to PRODUCTS."""
        for number in range(PRODUCTS):
            wait_until(partial(self._creates, f"Shelf {number}"), START_SECONDS, f"{self.name} works")

    def _creates(self, name: str) -> bool:
        self.front.check()
        self.service.check()
        body = json.dumps({"name": name, "price": 19.9, "quantity": 7}).encode()
        request = urllib.request.Request(f"{self.url}/products", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=FIRST_ANSWER_SECONDS) as answer:
                return bool(answer.status == 201)
        except (urllib.error.URLError, OSError):
            return False


def python(
    name: str,
    folder: Path,
    environment: Mapping[str, str],
    *arguments: str,
    interpreter: str | Path = sys.executable,
) -> Process:
    """A Python module of this repository as a process, not yet started; the caller's settings do not reach it."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUS_", "AUTH_", "CATALOG_"))}
    settings = {**inherited, "PYTHONPATH": str(REPOSITORY), **environment}
    return Process(name, (str(interpreter), "-m", *arguments), folder, settings)


@contextmanager
def started(process: Process) -> Iterator[Process]:
    """Have it run for as long as the block."""
    process.start()
    try:
        yield process
    finally:
        process.stop(SIGTERM)
