"""Reply addresses: where a worker may send answers."""

import re

# Server-named queues, RabbitMQ's direct reply-to, or a name with the word "reply" or "replies" in
# it. Operations and dead-letter queues never bear that word, so nobody can make a worker publish
# into one of our own queues.
_ADDRESS = re.compile(r"amq\.gen-.+|amq\.rabbitmq\.reply-to(\..+)?|(.+[._-])?repl(y|ies)([._-].+)?", re.IGNORECASE)


def is_reply_address(name: str) -> bool:
    """Whether a queue name looks like one made for replies."""
    return _ADDRESS.fullmatch(name) is not None
