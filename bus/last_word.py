"""The last word: what the caller of a command is told when the broker has given it up."""

from bus.answer import Answer
from bus.carrying_out import INTERNAL_ERROR
from bus.letter import Letter
from bus.letter_body import Operations
from bus.message import Message
from bus.reply_address import is_reply_address


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
