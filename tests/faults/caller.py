"""A caller: one HTTP client with a connection that it keeps, and a note of every answer."""

import asyncio
import http.client
import io
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


class AsyncCaller:
    """Sends requests to one front end, and after a lost connection to the next one. Thousands share an event loop."""

    def __init__(self, urls: list[str], first: int = 0) -> None:
        self._urls = urls
        self._turn = first
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._connected_at = 0.0

    async def post(self, path: str, content: object, key: str) -> Sample:
        """Send a command under an idempotency key."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return await self._ask("POST", path, json.dumps(content).encode(), headers)

    async def get(self, path: str) -> Sample:
        """Ask."""
        return await self._ask("GET", path, b"", {})

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Sample:
        url = self._urls[self._turn % len(self._urls)]
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, content = await self._exchange(url, method, path, body, headers)
        except (OSError, EOFError, http.client.HTTPException) as error:
            self.close()
            self._turn += 1
            status, content = NO_ANSWER, {"code": type(error).__name__}
        ended = time.monotonic()
        code = content.get("code", "") if isinstance(content, dict) else ""
        return Sample(ended, ended - started, url, status, code, content, self._connected_at)

    async def _exchange(
        self, url: str, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        address = urlsplit(url)
        if self._connection is None:
            self._connected_at = time.monotonic()
            self._connection = await asyncio.open_connection(address.hostname, address.port)
        reader, writer = self._connection
        given = {"Host": address.netloc, "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        head = io.BytesIO(await reader.readuntil(b"\r\n\r\n"))
        status, answered = int(head.readline().split()[1]), http.client.parse_headers(head)
        content = await reader.readexactly(int(answered["Content-Length"]))
        if answered.get("Connection", "").lower() == "close":
            self.close()
        return status, json.loads(content) if content else None


class Caller:
    """The same for one client alone, which waits for each answer."""

    def __init__(self, urls: list[str], first: int = 0) -> None:
        self._caller, self._loop = AsyncCaller(urls, first), asyncio.Runner()

    def post(self, path: str, content: object, key: str) -> Sample:
        """Send a command under an idempotency key."""
        return self._loop.run(self._caller.post(path, content, key))

    def get(self, path: str) -> Sample:
        """Ask."""
        return self._loop.run(self._caller.get(path))

    def close(self) -> None:
        """Close the connection."""
        self._caller.close()
        self._loop.close()
