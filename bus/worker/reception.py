"""The reception: which messages become calls, and what becomes of the others."""

import math
import time

from bus.contract.problems import Invalid
from bus.dead_letters.body import without_secrets
from bus.messaging.call import Call
from bus.messaging.checks import is_undecodable
from bus.messaging.message import Delivery
from bus.messaging.replies import EncodedReply
from bus.security.unsealer import Unsealer
from bus.service.service import Service
from bus.worker.admission import admit
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import HandlerFailed


class Admission:
    """Admits the requests of one service, and sees to what is not admitted."""

    def __init__(self, service: Service, dispatcher: Dispatcher, unsealer: Unsealer) -> None:
        self._service, self._dispatcher, self._unsealer = service, dispatcher, unsealer

    def admit(self, delivery: Delivery) -> Call | None:
        """The call a message asks for; None when it was refused, or when nobody waits for the answer any more.

        Raises Stopped; and DatabaseUnavailable, when the key to a seal had to be read there.
        """
        operation = self._service.operations[delivery.message.queue]
        until = math.inf if operation.is_command else _until(delivery)
        if until < time.monotonic():
            self._dispatcher.record("expired", delivery)
            return None
        try:
            return admit(delivery.message, operation, self._unsealer, until, delivery.trace)
        except Invalid as refused:
            self._refuse(delivery, refused)
            return None

    def dead_letter(self, delivery: Delivery, reason: str, detail: str, gave_up: HandlerFailed | None = None) -> None:
        """Keep a message for a person, without its secrets."""
        body = without_secrets(delivery.message, self._service.operations[delivery.message.queue])
        self._dispatcher.dead_letter(delivery, body, reason, detail, gave_up)

    def _refuse(self, delivery: Delivery, refused: Invalid) -> None:
        """Tell the sender; where there is none, or the message makes no sense at all, keep it for a person."""
        problem = refused.problem
        if is_undecodable(refused) or not delivery.message.reply_to:
            self.dead_letter(delivery, problem.code, problem.detail)
        self._dispatcher.reply(delivery, EncodedReply.problem(problem))
        self._dispatcher.record("refused", delivery, status=problem.status, code=problem.code)


def _until(delivery: Delivery) -> float:
    """When nobody waits for the answer to a question any more."""
    allowed = delivery.message.expiration_ms
    return math.inf if allowed is None else delivery.received_at + allowed / 1000
