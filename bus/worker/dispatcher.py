"""What leaves a worker: answers, and messages that are entrusted to the broker before they are acknowledged."""

import threading
from collections.abc import Sequence

import structlog

from bus.contract.names import is_reply_address
from bus.dead_letters.envelope import Fault, dead_letter
from bus.messaging import redelivery
from bus.messaging.call import Call
from bus.messaging.message import Delivery, Message
from bus.messaging.publishing import publish_all
from bus.messaging.replies import EncodedReply
from bus.messaging.topology import Limits, quarantine_queue, retry_queues
from bus.messaging.trace_context import TRACEPARENT
from bus.messaging.transport import PublishOutcome, Transport
from bus.worker.execution import HandlerFailed
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import Stopped

# How long a message waits for its confirm, and for another try, while the broker takes nothing.
CONFIRM_SECONDS = 5.0
RETRY_SECONDS = 1.0

log = structlog.get_logger("bus.worker")


class Dispatcher:
    """Sends on behalf of one service. What it entrusts to the broker is there when it returns.

    Raises Stopped when `stopping` is set while the broker takes nothing.
    """

    def __init__(
        self, service: str, transport: Transport, limits: Limits, stopping: threading.Event, witness: MessageTelemetry
    ) -> None:
        self._service, self._transport, self._stopping = service, transport, stopping
        self.record, self.record_batch = witness.record, witness.record_batch
        self._quarantine = quarantine_queue(service, limits)
        self._retries = retry_queues(service, limits)
        self._quarantining = threading.Lock()

    def reply(self, delivery: Delivery, answer: EncodedReply) -> None:
        """Answer a message, if it says where to: never into a queue that is not for replies."""
        reply = answer.to(delivery.message, {TRACEPARENT: delivery.trace.traceparent})
        if reply is not None and is_reply_address(reply.queue):
            self.send(reply)

    def send(self, reply: Message) -> None:
        """A message that is dropped where it cannot be delivered."""
        self._transport.publish(reply)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with."""
        self._transport.acknowledge(deliveries)

    def quarantine(self, deliveries: Sequence[Delivery]) -> None:
        """Move messages that were in hand when a worker died to where each is carried out alone.

        Each is acknowledged at the moment its copy is confirmed: from there it may kill us before we go on.
        """
        with self._quarantining:
            self._entrust([redelivery.alone(each.traced, self._quarantine) for each in deliveries], deliveries)
        for delivery in deliveries:
            self.record("quarantined", delivery, deaths=delivery.deaths)

    def wait_until_quarantined(self) -> None:
        """Return when what is being moved has been acknowledged: its copy may kill us, and would be copied again.

        Waits no longer than for one confirm; until then the broker may have given us the copy, but not told of it.
        """
        if self._quarantining.acquire(timeout=CONFIRM_SECONDS):
            self._quarantining.release()

    def schedule_retry(self, delivery: Delivery, call: Call) -> bool:
        """Have a command come back after a pause; False when it has had all its tries."""
        attempt = redelivery.attempts_of(delivery.message)
        if attempt >= len(self._retries):
            return False
        pause = self._retries[attempt]
        self._entrust([redelivery.later(delivery.traced, pause)])
        self.record("retried", delivery, call, seconds=pause.delay_seconds)
        return True

    def dead_letter(
        self, delivery: Delivery, body: bytes, reason: str, detail: str, gave_up: HandlerFailed | None = None
    ) -> None:
        """Put a message into the dead letters; `body` is its own without secrets."""
        message = delivery.traced
        letter = dead_letter(
            message,
            self._service,
            body,
            reason=reason,
            detail=detail,
            fault=Fault(gave_up.error_class, gave_up.traceback) if gave_up else None,
            attempts=redelivery.attempts_of(message) + 1,
            first_at=redelivery.first_at_of(message),
        )
        self._entrust([letter])

    def _entrust(self, messages: Sequence[Message], replaced: Sequence[Delivery] = ()) -> None:
        """`replaced`, if given, are the deliveries that the messages take the place of, one for each."""
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
