"""Names of reply queues: the only queues that a worker may send replies to."""

import base64
import binascii
import re
from functools import lru_cache

# RabbitMQ's pseudo-queue for direct reply-to; the addresses that it makes begin with this too.
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"

# Queues named by the broker or by Spring, with the word "reply" or "replies" in their name, or with a UUID as its last
# part: libraries give them to queues of one caller (aio-pika: `amq_` and 32 digits). No operation has such a name,
# nor a queue that programs know by its name, so no caller can make a worker publish into one of those.
_UUID = "[0-9a-f]{8}(-?)[0-9a-f]{4}\\1[0-9a-f]{4}\\1[0-9a-f]{4}\\1[0-9a-f]{12}"
_ADDRESS = re.compile(
    rf"(?:.+[._-])?{_UUID}|(?:amq|spring)\.gen-.+|(?:.+[._-])?repl(?:y|ies)(?:[._-].+)?", re.IGNORECASE
)
# Our own queues and exchanges that belong to no service, such as those of event streams, which have a UUID too.
_OURS = "bus."
_DIRECT = re.compile(rf"{re.escape(DIRECT_REPLY_TO)}\.([A-Za-z0-9+/]+=*)\.[A-Za-z0-9+/]+=*", re.IGNORECASE)
# A process id in Erlang's external term format: NEW_PID_EXT, an atom in UTF-8 (short or long), three numbers.
_PROCESS = re.compile(rb"\x83\x58(?:\x77(?P<short>.)|[\x64\x76](?P<long>..))(?P<rest>.*)", re.DOTALL)
_NUMBERS_BYTES = 12


@lru_cache(maxsize=1024)  # a caller has one address for all its requests
def is_reply_address(name: str) -> bool:
    """Whether a queue name looks like one made for replies."""
    if name.lower().startswith(DIRECT_REPLY_TO):
        return name == DIRECT_REPLY_TO or _is_direct(name)
    return not name.lower().startswith(_OURS) and _ADDRESS.fullmatch(name) is not None


def _is_direct(name: str) -> bool:
    """Whether RabbitMQ made this address. It closes the connection of a publisher that uses a forged one."""
    address = _DIRECT.fullmatch(name)
    try:
        process = _PROCESS.fullmatch(base64.b64decode(address[1], validate=True)) if address else None
    except binascii.Error:
        return False
    if process is None:
        return False
    length = int.from_bytes(process["short"] or process["long"], "big")
    node = process["rest"][:length]
    return len(process["rest"]) == length + _NUMBERS_BYTES and _is_node(node)


def _is_node(name: bytes) -> bool:
    return re.fullmatch(rb"[\x21-\x7e]{1,255}", name) is not None
