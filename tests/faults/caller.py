"""A caller: one HTTP client with a connection that it keeps, and a note of every answer."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# Longer than a front end takes for anything: an answer that does not come by then is none.
PATIENCE_SECONDS = 15.0
# The status of an answer that did not come, because the connection was refused, or lost, or silent.
NO_ANSWER = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer: when it came (time.monotonic()), how long it took, and what it was.

    `connected_at` is when the connection was begun on which it was asked for.
    """

    at: float
    seconds: float
    url: str
    status: int
    code: str
    body: Any
    connected_at: float

    @property
    def begun(self) -> float:
        """When it was asked for (time.monotonic())."""
        return self.at - self.seconds


class Caller:
    """Sends requests to one front end, and after a lost connection to the next one."""

    def __init__(self, urls: list[str], first: int = 0) -> None:
        self._urls = urls
        self._turn = first
        self._connection: http.client.HTTPConnection | None = None
        self._connected_at = 0.0

    def post(self, path: str, content: object, key: str) -> Sample:
        """Send a command under an idempotency key."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return self._ask("POST", path, json.dumps(content).encode(), headers)

    def get(self, path: str) -> Sample:
        """Ask."""
        return self._ask("GET", path, None, {})

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Sample:
        url = self._urls[self._turn % len(self._urls)]
        started = time.monotonic()
        try:
            status, content = self._exchange(url, method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            self._turn += 1
            status, content = NO_ANSWER, {"code": type(error).__name__}
        ended = time.monotonic()
        code = content.get("code", "") if isinstance(content, dict) else ""
        return Sample(ended, ended - started, url, status, code, content, self._connected_at)

    def _exchange(
        self, url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        if self._connection is None:
            address = urlsplit(url)
            self._connected_at = time.monotonic()
            self._connection = http.client.HTTPConnection(
                address.hostname or "", address.port, timeout=PATIENCE_SECONDS
            )
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None
