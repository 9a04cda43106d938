"""Channels: the connections of the embedded server, and what waitress leaves open about them."""

import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask

from bus.contract.codec import encode
from bus.contract.problems import Problem
from bus.messaging.message import PROBLEM

# A request must be here whole, headers and body, so long after its first byte. waitress itself only cuts those
# who send nothing at all: a byte a second keeps a connection for ever.
ARRIVAL_SECONDS = 20.0


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Reads one request, and refuses what a proxy in front of us may read as another (RFC 9112, section 6.1)."""

    def parse_header(self, header_plus: bytes) -> None:
        """Raises ParsingError, which is answered 400 and ends the connection."""
        super().parse_header(header_plus)
        if self.version not in ("1.0", "1.1"):
            raise ParsingError("another version of HTTP")
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("two ways to tell where the body ends")

    def received(self, data: bytes) -> int:
        """Ask nobody for the body (100 Continue) whose request is refused already."""
        taken: int = super().received(data)
        if self.error:
            self.expect_continue = False
        return taken


class ProblemTask(ErrorTask):  # type: ignore[misc]  # as above
    """Answers what waitress refuses by itself, and does not read on."""

    def execute(self) -> None:
        """Write the problem document, and close."""
        error = self.request.error
        body = encode(problem_of(error.code, error.reason))
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", PROBLEM))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def problem_of(status: int, reason: str) -> Problem:
    """The problem document of an error of the server's own: its code is the name of the status."""
    if status == 413:
        return Problem.of("too-large", status, "Too large", "This is larger than any body that is read.")
    return Problem.of(reason.lower().replace(" ", "-"), status, reason, "The server could not take this request.")


class Channel(HTTPChannel):  # type: ignore[misc]  # as above
    """One connection. The server's loop asks `readable` at least once a second."""

    error_task_class = ProblemTask
    parser_class = Parser
    _arriving: Any = None
    _since = 0.0

    def readable(self) -> bool:
        """Whether more is wanted; a request that takes too long to arrive ends its connection."""
        if self.request is not self._arriving:
            self._arriving, self._since = self.request, time.monotonic()
        if self._arriving is not None and time.monotonic() - self._since > ARRIVAL_SECONDS:
            self.will_close = True
        return bool(super().readable())
