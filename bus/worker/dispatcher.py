"""The dispatcher: where a message goes when it leaves the worker: caller, retry queue, quarantine, dead letters.

What it hands to the broker is confirmed when it returns.
"""

import threading
from collections.abc import Sequence
from typing import Any

import structlog

from bus.contract.identity import ANONYMOUS, Caller
from bus.contract.names import is_reply_address
from bus.contract.operations import Operation
from bus.database.trouble import DatabaseUnavailable
from bus.dead_letters.body import without_secrets
from bus.dead_letters.envelope import Fault, dead_letter
from bus.messaging import redelivery
from bus.messaging.call import Call
from bus.messaging.message import Delivery, Message
from bus.messaging.publishing import publish_all
from bus.messaging.replies import EncodedReply
from bus.messaging.topology import Limits, Queue, quarantine_queue, retry_queues
from bus.messaging.trace_context import TRACEPARENT
from bus.messaging.transport import PublishOutcome, Transport
from bus.security.service_keys import LetterKey
from bus.worker.handler_runs import HandlerFailed
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import Stopped

# How long a message waits for its confirm, and for the next try, while the broker accepts nothing.
CONFIRM_SECONDS = 5.0
RETRY_SECONDS = 1.0

log = structlog.get_logger("bus.worker")


class Dispatcher:
    """Sends on behalf of one service. Raises Stopped when `stopping` is set while the broker accepts nothing.

    `letter_key` authenticates its dead letters.
    """

    def __init__(
        self,
        service: str,
        transport: Transport,
        limits: Limits,
        stopping: threading.Event,
        telemetry: MessageTelemetry,
        letter_key: LetterKey,
    ) -> None:
        self._service, self._transport, self._stopping, self._telemetry = service, transport, stopping, telemetry
        self.letter_key = letter_key
        self._quarantine = quarantine_queue(service, limits)
        self._retries = retry_queues(service, limits)
        self._quarantining = threading.Lock()

    def reply(self, delivery: Delivery, answer: EncodedReply) -> None:
        """Answer a message that has a reply address; never into a queue that is not for replies.

        A reply is dropped where it cannot be delivered.
        """
        reply = answer.to(delivery.message, {TRACEPARENT: delivery.trace.traceparent})
        if reply is not None and is_reply_address(reply.queue):
            self._transport.publish(reply)

    def quarantine(self, deliveries: Sequence[Delivery]) -> None:
        """Move messages that a worker may have died of to the queue where each is carried out alone.

        Each is acknowledged at the moment its copy is confirmed: from there on the copy may kill this worker.
        """
        with self._quarantining:
            self._hand_over([redelivery.alone(each.traced, self._quarantine) for each in deliveries], deliveries)
        for delivery in deliveries:
            self._telemetry.record("quarantined", delivery, deaths=delivery.deaths)

    def wait_until_quarantined(self) -> None:
        """Return when what is being moved is acknowledged: its copy may kill this worker, and would be moved again.

        Waits no longer than for one confirm; until then the broker may have delivered the copy, but not confirmed it.
        """
        if self._quarantining.acquire(timeout=CONFIRM_SECONDS):
            self._quarantining.release()

    def next_retry(self, delivery: Delivery) -> Queue | None:
        """The queue in which a command whose handler has failed waits for its next try; None after the last one."""
        attempt = redelivery.attempts_of(delivery.message)
        return self._retries[attempt] if attempt < len(self._retries) else None

    def schedule_retry(self, delivery: Delivery, call: Call | None, pause: Queue) -> None:
        """Have a command delivered again after a pause."""
        self._hand_over([redelivery.later(delivery.traced, pause)])
        self._telemetry.record("retried", delivery, call, seconds=pause.delay_seconds)

    def postpone(self, delivery: Delivery, call: Call | None, reason: str, *, grows: bool) -> bool:
        """Have a command delivered again after a pause, with no try used; False when there is no pause.

        The pause is the shortest one, or, if it `grows`, a longer one each time.
        """
        if not self._retries:
            return False
        before = redelivery.postponements_of(delivery.message) if grows else 0
        pause = self._retries[min(before, len(self._retries) - 1)]
        self._hand_over([redelivery.postponed(delivery.traced, pause)])
        self._telemetry.record("postponed", delivery, call, seconds=pause.delay_seconds, reason=reason)
        return True

    def dead_letter(
        self,
        delivery: Delivery,
        body: bytes,
        reason: str,
        detail: str,
        failed: HandlerFailed | None = None,
        caller: Caller = ANONYMOUS,
    ) -> None:
        """Publish a message to the dead letters; `body` is its own without secrets.

        `caller` is the one that was verified.
        """
        message = delivery.traced
        letter = dead_letter(
            message,
            self._service,
            body,
            key=self._read_letter_key(),
            reason=reason,
            detail=detail,
            fault=Fault(failed.error_class, failed.traceback) if failed else None,
            attempts=redelivery.attempts_of(message) + 1,
            first_at=redelivery.first_at_of(message),
            caller=caller,
        )
        self._hand_over([letter])

    def dead_letter_request(
        self,
        delivery: Delivery,
        operation: type[Operation[Any]],
        reason: str,
        detail: str,
        failed: HandlerFailed | None = None,
        caller: Caller = ANONYMOUS,
    ) -> None:
        """The same for a request, whose body is cleared of the secrets of its operation."""
        self.dead_letter(delivery, without_secrets(delivery.message, operation), reason, detail, failed, caller)

    def _read_letter_key(self) -> bytes:
        """A worker that started without its database has not read the key yet. Raises Stopped."""
        while True:
            try:
                return self.letter_key.read()
            except DatabaseUnavailable as error:
                log.warning("letter_key_unavailable", service=self._service, error=str(error))
                if self._stopping.wait(RETRY_SECONDS):
                    raise Stopped from None

    def _hand_over(self, messages: Sequence[Message], replaced: Sequence[Delivery] = ()) -> None:
        """Publish until all are confirmed. `replaced`, if given, are the deliveries that the messages stand for."""
        left = list(range(len(messages)))
        while left:
            places = list(left)

            def confirmed(number: int, places: Sequence[int] = places) -> None:
                if replaced:
                    self._transport.acknowledge([replaced[places[number]]])

            outcomes = publish_all(self._transport, [messages[place] for place in places], CONFIRM_SECONDS, confirmed)
            left = [
                place
                for place, outcome in zip(places, outcomes, strict=True)
                if outcome is not PublishOutcome.CONFIRMED
            ]
            if left:
                outcome = outcomes[places.index(left[0])].name
                log.warning("message_not_confirmed", queue=messages[left[0]].queue, count=len(left), outcome=outcome)
                if self._stopping.wait(RETRY_SECONDS):
                    raise Stopped
