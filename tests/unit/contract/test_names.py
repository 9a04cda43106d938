"""Reply addresses: where a worker may send replies, and never one of our own queues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.contract.names import is_reply_address
from bus.contract.operations import OPERATION_NAME

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
]


@pytest.mark.parametrize("name", GOOD)
def test_a_queue_made_for_replies_is_a_reply_address(name: str) -> None:
    assert is_reply_address(name)


@pytest.mark.parametrize("name", BAD)
def test_any_other_name_is_not_a_reply_address(name: str) -> None:
    assert not is_reply_address(name)


@given(st.from_regex(OPERATION_NAME, fullmatch=True))
def test_only_a_name_with_the_word_can_be_both(name: str) -> None:
    words = name.replace(".", "_").split("_")
    assert is_reply_address(name) == bool({"reply", "replies"} & set(words))
