"""Pending calls: requests that were published and wait for their replies.

A call ends with a reply, with an outcome of publishing that is not "confirmed", or at its deadline. Everything that
decides between these is here.
"""

import os
import threading
import time
from collections import Counter
from queue import Empty
from typing import Any, NamedTuple, Self

import structlog
from msgspec import structs

from bus import failpoints
from bus.client.backlogs import Backlogs
from bus.contract.operations import Operation
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.messaging.message import Message
from bus.messaging.publishing import not_taken
from bus.messaging.replies import defect_of
from bus.messaging.transport import PublishOutcome, Transport
from bus.messaging.waiting import Mailbox, mailbox

# A confirm that comes this late is still useful: it turns "unknown" into "accepted".
CONFIRM_SECONDS = 0.5

log = structlog.get_logger("bus.client")


class Deadlines(NamedTuple):
    """Until when a call waits (time.monotonic()): for the broker to accept it, and for its reply.

    A query is worthless without its reply, so only `reply_by` counts for it. `seconds` is the whole time for the reply.
    """

    accepted_by: float
    reply_by: float
    seconds: float

    @classmethod
    def of(cls, timeout: float, wait: float) -> Self:
        """From now on, `timeout` seconds for the broker and `wait` seconds, at most `timeout`, for the reply."""
        now = time.monotonic()
        return cls(now + timeout, now + min(wait, timeout), min(wait, timeout))


class PendingCall:
    """One published request. `results` gets its reply, a bad outcome, or None when no reply can come any more.

    It gets a confirm only if the call ends with it, so that no caller wakes for nothing.
    """

    __slots__ = ("_deadlines", "confirmed", "results")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.results: Mailbox[Message | PublishOutcome | None] = mailbox()
        self.confirmed = False

    def settle(self, outcome: PublishOutcome) -> None:
        """The broker has confirmed or refused the request. Called on the transport's thread."""
        if outcome is PublishOutcome.CONFIRMED:
            self.confirmed = True
            if failpoints.armed:
                failpoints.reach("client.after-confirm")
            if self._deadlines.reply_by >= self._deadlines.accepted_by:
                return
        self.results.put(outcome)

    def wait(self, operation: type[Operation[Any]], message_id: str) -> Message:
        """Wait for the reply. Raises Unavailable or ReplyTimeout, the latter for a command only if it was confirmed."""
        while True:
            is_unsure = operation.is_durable and not self.confirmed
            deadline = self._deadlines.accepted_by if is_unsure else self._deadlines.reply_by
            left = deadline - time.monotonic()
            if self.confirmed and left <= 0:
                break
            try:
                result = self.results.get(timeout=max(0.0, left))
            except Empty:
                break
            if result is None:
                result = self._late_outcome()
            if isinstance(result, Message):
                return result
            if result is None:
                break
            if result is not PublishOutcome.CONFIRMED:
                raise not_taken(operation.operation_name, result)
        if operation.is_durable and not self.confirmed:
            raise not_taken(operation.operation_name, PublishOutcome.UNKNOWN)
        raise ReplyTimeout(operation.operation_name, message_id, self._deadlines.seconds)

    def _late_outcome(self) -> PublishOutcome | None:
        """Without a reply to wait for: wait a moment for a refusal by the broker. None if it confirms, or is silent."""
        while not self.confirmed:
            try:
                result = self.results.get(timeout=CONFIRM_SECONDS)
            except Empty:
                return None
            if isinstance(result, PublishOutcome) and result is not PublishOutcome.CONFIRMED:
                return result
        return None


class PendingCalls:
    """At most `limit` calls at the same time; one more raises Unavailable at once. Safe to use from many threads.

    Those of one operation get three quarters of the places, so that one slow queue leaves some to the others.
    `backlogs` knows which commands were answered late.
    `late_replies` counts the replies that came after their call had ended, duplicates among them, and
    `invalid_replies` the messages to the reply queue that no worker sends.
    """

    def __init__(self, transport: Transport, limit: int) -> None:
        self._transport, self._limit = transport, limit
        self._share = limit - limit // 4
        self._lock = threading.Lock()
        self._taken, self._waiting = 0, Counter[str]()
        self.backlogs = Backlogs()
        self._pending: dict[str, PendingCall] = {}
        self.late_replies = self.invalid_replies = 0

    def exchange(
        self, operation: type[Operation[Any]], request: Message, deadlines: Deadlines, *, with_reply: bool = True
    ) -> Message:
        """Publish a request and wait for its reply. Raises Unavailable or ReplyTimeout.

        Without a reply (`with_reply`) a confirmed command ends in ReplyTimeout.
        """
        name = operation.operation_name
        self._enter(name, waits=deadlines.seconds > 0)
        # Nobody can guess it: a program that knows the reply queue cannot answer in the place of the service.
        number = os.urandom(16).hex()
        call = self._pending[number] = PendingCall(deadlines)
        try:
            if with_reply:
                reply_to = self._transport.reply_address
                if reply_to is None:
                    raise not_taken(operation.operation_name, PublishOutcome.DISCONNECTED)
                # The broker drops what is not durable when its caller has stopped waiting; it never drops a command.
                left_ms = None if operation.is_durable else max(0, int((deadlines.reply_by - time.monotonic()) * 1000))
                request = structs.replace(request, reply_to=reply_to, correlation_id=number, expiration_ms=left_ms)
            self._transport.publish(request, call.settle)
            reply = call.wait(operation, request.message_id or "")
        except ReplyTimeout:
            if operation.is_durable:
                # Less than planned if the connection for replies was lost, which says nothing about the queue.
                left = max(0.0, deadlines.reply_by - time.monotonic())
                self.backlogs.left(name, number, deadlines.seconds - left)
            raise
        finally:
            del self._pending[number]
            with self._lock:
                self._taken -= 1
                self._waiting[name] -= 1
        if operation.is_durable:
            self.backlogs.answered(name)
        return reply

    def has_its_share(self, operation: str) -> bool:
        """Whether as many calls of this operation wait as may."""
        return self._waiting[operation] >= self._share

    def _enter(self, operation: str, *, waits: bool) -> None:
        """Take a place. What `waits` for a reply needs one of its operation's share. Raises Unavailable."""
        with self._lock:
            if self._taken >= self._limit:
                detail = f"{self._limit} requests of this client are waiting already. Try again later."
            elif waits and self.has_its_share(operation):
                detail = f"{self._share} requests for {operation} are waiting already. Try again later."
            else:
                self._taken += 1
                self._waiting[operation] += 1
                return
        raise Unavailable("too-many-in-flight", detail)

    def replied(self, reply: Message) -> None:
        """A reply has come. Called on the transport's thread."""
        if defect := defect_of(reply):
            if not self.invalid_replies:
                log.warning("reply_invalid", reason=defect)
            self.invalid_replies += 1
            return
        call = self._pending.get(str(reply.correlation_id))
        if call is None:
            self.late_replies += 1
            self.backlogs.answered_late(str(reply.correlation_id))
        else:
            call.results.put(reply)

    def replies_lost(self) -> None:
        """Replies that are under way cannot arrive any more. Called on the transport's thread."""
        for call in list(self._pending.values()):
            call.results.put(None)
