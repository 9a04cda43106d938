"""The event tail: the last events of all services, while somebody looks at them.

It listens only then, with a queue of its own that ends with it. It keeps a bounded number of events, each cut to a
bounded length: when more come than fit, the oldest are forgotten, and counted.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from bus.client.event_stream import EventStream, event_stream
from bus.contract.events import Event
from bus.contract.fields import holds_secrets
from bus.contract.problems import Invalid
from bus.contract.redaction import CUT, encode_without_secrets
from bus.contract.validation import decode_event
from bus.messaging.headers import lines, one_line
from bus.messaging.message import Message
from bus.messaging.transport import TransportFailure

# Events that are kept, and the characters that are kept of each.
MOST_KEPT, MOST_CHARACTERS = 2_000, 2_000
MAX_NAME = 255
# It ends when nobody has looked for this long.
UNWATCHED_SECONDS = 60.0
# After trouble, such as a user of the broker who lacks a permission, it begins again no sooner than this.
PAUSE_SECONDS = 5.0

log = structlog.get_logger("bus.console")


@dataclass(frozen=True)
class SeenEvent:
    """An event that came. `body` is its text, without what is secret, and cut at its end if it `is_cut`."""

    number: int
    received_at: datetime
    name: str
    message_id: str
    body: str
    is_cut: bool


@dataclass(frozen=True)
class Seen:
    """What the tail has seen since `since`: `count` events, of which the last ones are kept.

    `trouble` says why it sees none now; empty while it listens.
    """

    since: datetime
    count: int
    kept: Sequence[SeenEvent]
    trouble: str


class EventTail:
    """Listens to the events of the broker at `url`. `known` are the contracts of events, by name."""

    def __init__(self, url: str, known: Mapping[str, type[Event]]) -> None:
        self._url, self._known = url, known
        self._lock = threading.Lock()
        self._kept: deque[SeenEvent] = deque(maxlen=MOST_KEPT)
        self._count, self._since, self._trouble = 0, datetime.now(UTC), ""
        self._wanted_until = self._paused_until = 0.0
        self._thread: threading.Thread | None = None
        self._stream: EventStream | None = None

    def look(self) -> Seen:
        """What it has seen; it listens from now on, for a while."""
        with self._lock:
            now = time.monotonic()
            self._wanted_until = now + UNWATCHED_SECONDS
            if self._thread is None and now >= self._paused_until:
                if not self._trouble:
                    self._kept.clear()
                    self._count, self._since = 0, datetime.now(UTC)
                self._thread = threading.Thread(target=self._run, name="console-events", daemon=True)
                self._thread.start()
            trouble = self._trouble
            if self._stream is not None and not self._stream.is_connected:
                trouble = f"The connection to {self._stream.broker} is lost. Events are missed until it is there again."
            return Seen(self._since, self._count, tuple(self._kept), trouble)

    def stop(self) -> None:
        """Stop listening soon."""
        with self._lock:
            self._wanted_until = 0.0

    def _run(self) -> None:
        trouble = ""
        try:
            with event_stream(self._url, "#") as stream:
                self._trouble, self._stream = "", stream
                for message, received_at in stream.events(self._is_over):
                    self._keep(message, received_at)
        except TransportFailure as failure:
            trouble = str(failure)
        except Exception:  # the next look begins again, whatever an event or the broker does
            log.exception("event_tail_failed")
            trouble = "The console failed to read an event; its log has the reason."
        with self._lock:
            self._thread, self._stream, self._trouble = None, None, trouble
            if trouble:
                self._paused_until = time.monotonic() + PAUSE_SECONDS

    def _is_over(self) -> bool:
        return time.monotonic() > self._wanted_until

    def _keep(self, message: Message, received_at: datetime) -> None:
        body = self._body(message)
        with self._lock:
            self._count += 1
            self._kept.append(
                SeenEvent(
                    self._count,
                    received_at,
                    one_line(message.type, MAX_NAME),
                    one_line(message.message_id, MAX_NAME),
                    lines(body[:MOST_CHARACTERS], MOST_CHARACTERS),
                    len(body) > MOST_CHARACTERS,
                )
            )

    def _body(self, message: Message) -> str:
        """The text of an event, without the fields that its contract marks as secret."""
        declared, body = self._known.get(message.type or ""), message.body
        if declared is not None and holds_secrets(declared):
            try:
                body = encode_without_secrets(decode_event(body, declared))
            except Invalid:
                return CUT
        return body[: 4 * MOST_CHARACTERS + 4].decode("utf-8", "backslashreplace")
