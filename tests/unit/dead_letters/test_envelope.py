"""Dead letters: the message, its reason, and nothing forged."""

from datetime import UTC, datetime

import pika
import pytest
from msgspec import structs
from support.dead_letters import LETTER_KEY

from bus.dead_letters.envelope import MAX_TRACEBACK_BYTES, Fault, dead_letter, is_authentic
from bus.messaging.message import Message
from bus.messaging.rabbitmq.properties import TolerantProperties, message_of, properties_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALWAYS = {"letter-id", "origin-queue", "reason", "detail", "attempts", "first-at", "died-at", "authenticator"}


def _letter(detail: str = "Why.", fault: Fault | None = None, **properties: object) -> Message:
    message = Message(queue="shop.buy", body=b"{}", **properties)  # type: ignore[arg-type]
    return dead_letter(message, "shop", b"{cut}", key=LETTER_KEY, reason="malformed-json", detail=detail, fault=fault)


def test_a_dead_letter_tells_where_it_was_going_and_why_it_did_not_get_there() -> None:
    letter = _letter(message_id="1", correlation_id=b"\xff", content_type="text/plain", expiration_ms=5)
    assert (letter.queue, letter.body, letter.persistent) == ("shop.dead", b"{cut}", True)
    assert (letter.message_id, letter.correlation_id, letter.content_type) == ("1", b"\xff", "text/plain")
    assert (letter.headers["origin-queue"], letter.headers["reason"]) == ("shop.buy", "malformed-json")
    assert letter.headers["detail"] == "Why."
    assert datetime.fromisoformat(str(letter.headers["died-at"])).tzinfo is not None


def test_it_neither_expires_nor_asks_for_a_reply_but_says_who_did() -> None:
    letter = _letter(reply_to="reply", expiration_ms=5)
    assert (letter.reply_to, letter.expiration_ms, letter.headers["reply-to"]) == (None, None, "reply")


def test_it_tells_how_often_it_was_tried_since_when_and_what_was_raised() -> None:
    first = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    fault = Fault("Broken", "Traceback …")
    message = Message(queue="shop.buy", body=b"{}")
    letter = dead_letter(
        message, "shop", b"{}", key=LETTER_KEY, reason="fault", detail="", fault=fault, attempts=4, first_at=first
    )
    assert (letter.headers["attempts"], letter.headers["first-at"]) == (4, "2026-01-02T03:04:05.000+00:00")
    assert (letter.headers["error-class"], letter.headers["traceback"]) == ("Broken", "Traceback …")


def test_every_letter_has_an_id_of_its_own() -> None:
    assert _letter().headers["letter-id"] != _letter().headers["letter-id"]


def test_forged_headers_stay_behind() -> None:
    forged = {"CC": ["shop.buy"], "BCC": ["shop.buy"], "x-death": [{}], "x-delivery-count": 9, "reason": "none"}
    letter = _letter(headers={**forged, "letter-id": "mine", "traceparent": TRACE})
    assert letter.headers.keys() == ALWAYS | {"traceparent"}
    assert (letter.headers["traceparent"], letter.headers["reason"]) == (TRACE, "malformed-json")
    assert letter.headers["letter-id"] != "mine"


def test_a_trace_that_is_no_text_stays_behind() -> None:
    """What a broker library can read it cannot always write: 10^300 comes as a double."""
    for strange in (10**300, {"a": 1}, b"\xff", None):
        assert "traceparent" not in _letter(headers={"traceparent": strange}).headers


def test_a_long_reason_is_cut_and_of_a_long_traceback_the_end_is_kept() -> None:
    letter = _letter("é" * 5000, Fault("Broken", "é" * 20_000 + "the end"))
    traceback = str(letter.headers["traceback"])
    assert len(str(letter.headers["detail"])) == 1000
    assert traceback.endswith("the end")
    assert MAX_TRACEBACK_BYTES - 2 < len(traceback.encode()) <= MAX_TRACEBACK_BYTES


def test_the_longest_headers_fit_a_small_frame() -> None:
    letter = _letter("\U0001f600" * 5000, Fault("B" * 5000, "é" * 20_000), reply_to="r" * 255)
    assert sum(map(len, pika.BasicProperties.encode(properties_of(letter)))) < 24 * 1024


def test_text_that_has_no_bytes_can_be_sent_all_the_same() -> None:
    letter = _letter("\ud800", Fault("\ud800", "\ud800"))
    assert [letter.headers[name] for name in ("detail", "error-class", "traceback")] == ["?", "?", "?"]


# Only a worker's letters are believed.


def _over_the_broker(letter: Message) -> Message:
    """The letter as a consumer reads it."""
    encoded = b"".join(pika.BasicProperties.encode(properties_of(letter)))
    return message_of("shop.dead", TolerantProperties().decode(encoded), letter.body)


@pytest.mark.parametrize("correlation_id", [None, "7", b"\xff\x00"])
def test_a_letter_is_known_again_by_whoever_has_the_key(correlation_id: object) -> None:
    fault = Fault("Broken", "Tracebäck\n")
    letter = _letter("é\ud800", fault, message_id="1", correlation_id=correlation_id, reply_to="reply")
    assert is_authentic(_over_the_broker(letter), LETTER_KEY)
    assert not is_authentic(_over_the_broker(letter), b"another key")


def test_a_letter_that_was_changed_is_not_a_workers_any_more() -> None:
    letter = _letter(message_id="1")
    changes = ({"message_id": "2"}, {"body": b"{}"}, {"correlation_id": "7"}, {"type": "a.b"})
    changed = [structs.replace(letter, **each) for each in changes]  # type: ignore[arg-type]
    headers: list[dict[str, object]] = [{"reason": "fault"}, {"origin-queue": "x.events"}, {"attempts": 2}]
    headers += [{"authenticator": each} for each in ("", "é", b"", 7)]
    changed += [structs.replace(letter, headers={**letter.headers, **header}) for header in headers]
    assert not any(is_authentic(each, LETTER_KEY) for each in changed)
    assert not is_authentic(structs.replace(letter, headers={}), LETTER_KEY)
