"""The last word: what the caller of a command is told when the broker has given it up."""

from bus.contract.names import is_reply_address
from bus.dead_letters.body import Operations
from bus.dead_letters.reading import Letter
from bus.messaging.message import Message
from bus.messaging.replies import Answer
from bus.worker.execution import INTERNAL_ERROR


def last_word(letter: Letter, message: Message, operations: Operations) -> Message | None:
    """The reply to send for a letter that came in `message`; None when there is nobody to tell.

    Who waits for a command that a worker buried has been told by that worker.
    """
    operation = operations.get(letter.operation)
    if not letter.by_broker or operation is None or not operation.is_command:
        return None
    if not message.reply_to or not is_reply_address(message.reply_to):
        return None
    return Answer.problem(INTERNAL_ERROR).to(message)
