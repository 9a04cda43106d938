"""Replays: has a service send the dead letters or events of an action again, at a rate, batch by batch.

What is sent is recorded by the service. So whoever drives a replay may stop at any time, and another one may go on.
"""

import math
import threading
import time
from collections.abc import Generator
from typing import NamedTuple

from msgspec import UNSET

from bus.client.client import Client
from bus.contract.operator.actions import MAX_SENT, ActionBusy, ActionProgress, GetAction, SendNext, Sent
from bus.contract.operator.dead_letters import TakeDeadLetters
from bus.contract.operator.events import BeginEventReplay, CountEvents
from bus.contract.operator.operations import operator_operations
from bus.security.operators import Operator

# Messages that are sent together: as many as the rate allows in this time.
BATCH_SECONDS = 0.1
# A batch waits for the confirms of the broker, and on a full queue for the next try.
SEND_SECONDS = 15.0
# A queue whose service works makes room soon; one that has made none after this many tries stops the replay.
FULL_SECONDS, FULL_TRIES = 1.0, 60
# An action that takes all letters of a service changes 100,000 rows; one of its events counts as many.
TAKE_SECONDS = 60.0
TAKES_LONG = frozenset({TakeDeadLetters, CountEvents, BeginEventReplay})
# With growing batches, the next one waits until the one before is done, at most this long.
FIRST_BATCH, GROWTH, SETTLE_SECONDS, LOOK_SECONDS = 1, 10, 60.0, 0.5


class ReplayStopped(Exception):
    """The replay did not go on. The message says why; what was not sent stays with its action."""


class Progress(NamedTuple):
    """How many messages were sent by this replay, and how many are left, as `Action.left` is."""

    sent: int
    left: int


class Replay:
    """The replay of one action. `stop()` ends it after the batch that is under way.

    `rate` is in messages a second. With `growing`, which is for letters, it sends 1, then 10, 100 and so on, each time
    when those before are done, and ends when one of them has become a dead letter again. `body` is for an edited one.
    `sent_before` is how many were sent before it ran.
    """

    def __init__(
        self,
        client: Client,
        operator: Operator,
        service: str,
        action: int,
        *,
        rate: float,
        growing: bool = False,
        body: str | None = None,
    ) -> None:
        self._client, self._operator, self._action = client, operator, action
        self._operations, self._rate, self._growing = operator_operations(service), rate, growing
        self._body, self._stopping = body, threading.Event()
        self.sent_before = 0

    def stop(self) -> None:
        """End the replay soon."""
        self._stopping.set()

    def progress(self) -> ActionProgress:
        """How far the action is, as the service counts. Raises what `Client.call` raises."""
        request = self._operations[GetAction](action=self._action)
        found: ActionProgress = self._client.call(request, token=self._operator)
        return found

    def run(self) -> Generator[Progress, None, None]:
        """Send; yields before the first batch and after each. Raises ReplayStopped, and what `Client.call` raises."""
        before = self.progress()
        self.sent_before = before.sent
        sent, left, tries = 0, before.action.left, 0
        batch_end = FIRST_BATCH if self._growing else math.inf
        yield Progress(sent, left)
        while left and not self._stopping.is_set():
            most = max(1, min(MAX_SENT, int(self._rate * BATCH_SECONDS), int(min(MAX_SENT, batch_end - sent))))
            next_at = time.monotonic() + most / self._rate
            try:
                done = self._send(most)
            except ActionBusy as busy:  # another operator goes on with it too
                raise ReplayStopped(str(busy)) from None
            sent, left = sent + done.sent, done.left
            tries = tries + 1 if done.is_full and not done.sent else 0
            yield Progress(sent, left)
            if done.why_stopped:
                if not done.is_full or tries > FULL_TRIES:
                    raise ReplayStopped(done.why_stopped)
                self._stopping.wait(FULL_SECONDS)
            elif left and sent >= batch_end:
                self._settle(before.died_again)
                batch_end = sent + (batch_end * GROWTH)
            elif left and done.sent:  # a batch that has only looked for what to send costs no time
                self._stopping.wait(max(0.0, next_at - time.monotonic()))

    def _send(self, most: int) -> Sent:
        body = UNSET if self._body is None else self._body
        request = self._operations[SendNext](action=self._action, limit=most, body=body)
        found: Sent = self._client.call(request, timeout=SEND_SECONDS, token=self._operator)
        return found

    def _settle(self, died_before: int) -> None:
        """Wait until the letters that were sent are done. Raises ReplayStopped if one of them died again."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._stopping.is_set():
            progress = self.progress()
            if (again := progress.died_again - died_before) > 0:
                died = "a dead letter" if again == 1 else "dead letters"
                raise ReplayStopped(f"{again} of the letters became {died} again, so the others were not sent.")
            if not progress.open:
                return
            if time.monotonic() > deadline:
                raise ReplayStopped(f"{progress.open} of the letters are not done yet, so the others were not sent.")
            self._stopping.wait(LOOK_SECONDS)
