"""The URL of the broker: what people mean, and errors that repeat nothing of it."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.messaging.broker_url import BadBrokerUrl, BrokerUrl, parse_broker_url
from bus.messaging.rabbitmq.reconnecting import HEARTBEAT_SECONDS, parameters_for


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://", BrokerUrl("amqp", "localhost", 5672)),
        ("amqp://host", BrokerUrl("amqp", "host", 5672)),
        ("AMQPS://host/", BrokerUrl("amqps", "host", 5671)),
        ("amqp://host:5672//", BrokerUrl("amqp", "host", 5672)),
        ("amqp://host/%2F", BrokerUrl("amqp", "host", 5672)),
        ("amqp://host/shop/", BrokerUrl("amqp", "host", 5672, vhost="shop")),
        ("amqp://host/a%2Fb", BrokerUrl("amqp", "host", 5672, vhost="a/b")),
        ("amqp://[::1]:7/", BrokerUrl("amqp", "::1", 7)),
        ("amqp://ada@host", BrokerUrl("amqp", "host", 5672, "ada")),
        ("amqp://ada:a%23b@c:d@host", BrokerUrl("amqp", "host", 5672, "ada", "a#b@c:d")),
        ("amqp://host/?heartbeat=60", BrokerUrl("amqp", "host", 5672, heartbeat=60)),
        ("amqps://host?cacertfile=ca.pem", BrokerUrl("amqps", "host", 5671, tls={"cacertfile": "ca.pem"})),
    ],
)
def test_a_url_is_read_as_it_is_meant(url: str, expected: BrokerUrl) -> None:
    assert parse_broker_url(url) == expected


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://u:s3cret@host", "must begin with"),
        ("amqp:/u:s3cret@host", "must begin with"),
        ("amqp://u:s3#cret@host/", "%23"),
        ("amqp://u:s3/cret@host/", "%2F"),
        ("amqp://u:s3?cret@host/", "%3F"),
        ("amqp://u:s3%cret@host/", "%25"),
        ("amqp://u:s3%E4cret@host/", "not UTF-8"),
        ("amqp://u:s3 cret@host/", "blank"),
        ("amqp://u:s3cret@host/\n", "control character"),
        ("amqp://u:s3cret%00@host/", "%00"),
        ("amqp://u:s3cret", "HOST:PORT"),
        ("amqp://u:s3cret@::1/", "brackets"),
        ("amqp://u:s3cret@host:0", "from 1 to 65535"),
        ("amqp://u:s3cret@host:99999", "from 1 to 65535"),
        ("amqp://u:s3cret@host..name", "name of a machine"),
        ("amqp://u:s3cret@host/a/b", "more than one '/'"),
        (f"amqp://u:s3cret@host/{'a' * 256}", "255 bytes"),
        ("amqp://u:s3cret@host?heartbeat=often", "whole seconds"),
        ("amqp://u:s3cret@host?s3cret=1", "unknown options"),
        ("amqp://u:s3cret@host?heartbeat=1&heartbeat=2", "once"),
        ("amqp://u:s3cret@host?cacertfile=ca.pem", "write amqps://"),
    ],
)
def test_a_mistake_is_one_sentence_that_repeats_nothing_of_the_url(url: str, fault: str) -> None:
    with pytest.raises(BadBrokerUrl) as refused:
        parse_broker_url(url)
    words = str(refused.value)
    assert fault in words
    assert words.startswith("The URL of the broker ")
    assert words.endswith(".")
    assert not {"s3", "cret", "s3cret"} & {*words.split()}


@given(st.text(max_size=40), st.sampled_from(["", "amqp://", "amqps://", "amqp://u:p@h", "amqp://h/?heartbeat="]))
@example("[", "amqp://")
@example("x%", "amqps://")
def test_any_text_is_a_url_or_a_mistake(text: str, start: str) -> None:
    with suppress(BadBrokerUrl):
        parameters_for(parse_broker_url(start + text), "test")


def test_the_heartbeat_of_the_url_counts() -> None:
    assert parameters_for(parse_broker_url("amqp://h?heartbeat=60"), "test").heartbeat == 60
    assert parameters_for(parse_broker_url("amqp://h"), "test").heartbeat == HEARTBEAT_SECONDS


def test_a_file_that_cannot_be_used_for_tls_is_a_mistake(tmp_path: Path) -> None:
    for name in ("cacertfile", "certfile"):
        with pytest.raises(BadBrokerUrl, match="cannot be used: No such file"):
            parse_broker_url(f"amqps://h?{name}={tmp_path}/none.pem").tls_context()


def test_the_password_is_not_shown() -> None:
    assert "s3cret" not in repr(parse_broker_url("amqp://u:s3cret@h"))
