"""Reads: one client that asks for products, again and again."""

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Longer than a front end waits for a query.
ANSWER_SECONDS = 10.0
PAUSE_SECONDS = 0.05


class Reads:
    """Asks until the end of the block; `answered` are the moments of answers, by time.monotonic()."""

    def __init__(self, url: str) -> None:
        self.answered: list[float] = []
        self._url = f"{url}/products?limit=1"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="reads", daemon=True)

    @contextmanager
    def going_on(self) -> Iterator["Reads"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._thread.join(2 * ANSWER_SECONDS)

    def _go_on(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            with suppress(OSError), urllib.request.urlopen(self._url, timeout=ANSWER_SECONDS):  # errors are OSErrors
                self.answered.append(time.monotonic())
