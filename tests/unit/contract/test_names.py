"""Reply addresses: where a worker may send replies, and never one of our own queues."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.handlers import auth
from bus.contract.names import is_reply_address
from bus.contract.operations import OPERATION_NAME, Query
from bus.messaging.topology import stream_queue
from catalog.handlers import catalog

GOOD = [
    "amq.gen-JzTY20BRgKO-HjmUJj0wLg",
    "amq.gen-3f0a",
    "amq.rabbitmq.reply-to",
    "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA4MTk4OTE4OAAABrgAAAAAawZi7g==.ryyowoZgOlRkR1OMiHmHDg==",
    "amq.rabbitmq.reply-to.g1h3DnJlcGx5QDgxOTg5MTg4AAAGuAAAAABrBmLu.ryyowoZgOlRkR1OMiHmHDg==",
    "reply",
    "replies",
    "my-reply",
    "my.replies.7",
    "reply_queue",
    "shop_reply",
    "SHOP.REPLY",
    "orders.reply-to.17",
    "amq_0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "spring.gen-HYnf2uZ2TgGlbsJ0Z0vDPQ",
    "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    "easynetq.response.0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9",
]
BAD = [
    "",
    "catalog.create_product",
    "auth.register",
    "catalog.dead",
    "auth.retry.10s",
    "catalog.quarantine",
    "bus.requests",
    "bus.events",
    "amq.gen-",
    "amq.direct",
    "amq.topic",
    "my-queue",
    "replay",
    "replying",
    "noreply",
    "reply\n",
    "amq.rabbitmq.reply-to.",
    "amq.rabbitmq.reply-to.garbage",
    "amq.rabbitmq.reply-to.g1h2AA==.x",
    "amq.rabbitmq.reply-to.g1h2AA5yZXBseUAxMjM0.abc==",
    "amq.rabbitmq.reply-to.====.x",
    "catalog.dead\nreply",
    "amq.gen-x\n",
    "spring.gen-",
    "amq_0a1b2c3d4e5f60718293a4b5c6d7e8",
    "x0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "0a1b2c3d-4e5f60718293a4b5c6d7e8f9",
    "0a1b2c3d4e5f60718293a4b5c6d7e8f9.dead",
    "bus.watch.0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "bus.replies",
]


@pytest.mark.parametrize("name", GOOD)
def test_a_queue_made_for_replies_is_a_reply_address(name: str) -> None:
    assert is_reply_address(name)


@pytest.mark.parametrize("name", BAD)
def test_any_other_name_is_not_a_reply_address(name: str) -> None:
    assert not is_reply_address(name)


@given(st.from_regex(OPERATION_NAME, fullmatch=True))
def test_only_a_name_with_the_word_or_a_uuid_can_be_both(name: str) -> None:
    words = name.replace(".", "_").split("_")
    has_word = bool({"reply", "replies"} & set(words)) or re.fullmatch("[0-9a-f]{32}", words[-1]) is not None
    assert is_reply_address(name) == (has_word and not name.startswith("bus."))


def test_no_queue_of_ours_is_one() -> None:
    queues = [*catalog.queues(), *auth.queues(), stream_queue("#")]
    assert not [queue.name for queue in queues if is_reply_address(queue.name)]


def test_no_operation_has_such_a_name() -> None:
    for name in ("catalog.reply", f"catalog.{'a' * 32}"):
        with pytest.raises(TypeError, match="is not an operation name"):
            type(Query)("Bad", (Query,), {"__module__": __name__}, name=name)
