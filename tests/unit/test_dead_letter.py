"""Dead letters: the message, its reason, and nothing forged."""

from datetime import datetime

from bus.dead_letter import dead_letter
from bus.message import Message

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _letter(detail: str = "Why.", **properties: object) -> Message:
    message = Message(queue="shop.buy", body=b"{}", **properties)  # type: ignore[arg-type]
    return dead_letter(message, "shop", b"{cut}", "malformed-json", detail)


def test_a_dead_letter_tells_where_it_was_going_and_why_it_did_not_get_there() -> None:
    letter = _letter(
        message_id="1", correlation_id=b"\xff", content_type="text/plain", reply_to="reply", expiration_ms=5
    )
    assert (letter.queue, letter.body, letter.persistent) == ("shop.dead", b"{cut}", True)
    assert (letter.message_id, letter.correlation_id, letter.content_type) == ("1", b"\xff", "text/plain")
    assert (letter.headers["origin-queue"], letter.headers["reason"]) == ("shop.buy", "malformed-json")
    assert letter.headers["detail"] == "Why."
    assert datetime.fromisoformat(str(letter.headers["died-at"])).tzinfo is not None


def test_it_neither_expires_nor_asks_for_a_reply() -> None:
    letter = _letter(reply_to="reply", expiration_ms=5)
    assert (letter.reply_to, letter.expiration_ms) == (None, None)


def test_forged_headers_stay_behind() -> None:
    forged = {"CC": ["shop.buy"], "BCC": ["shop.buy"], "x-death": [{}], "x-delivery-count": 9, "reason": "none"}
    letter = _letter(headers={**forged, "traceparent": TRACE})
    assert letter.headers.keys() == {"traceparent", "origin-queue", "reason", "detail", "died-at"}
    assert (letter.headers["traceparent"], letter.headers["reason"]) == (TRACE, "malformed-json")


def test_a_trace_that_is_no_text_stays_behind() -> None:
    """What a broker library can read it cannot always write: 10^300 comes as a double."""
    for strange in (10**300, {"a": 1}, b"\xff", None):
        assert "traceparent" not in _letter(headers={"traceparent": strange}).headers


def test_a_long_reason_is_cut() -> None:
    assert len(str(_letter("x" * 5000).headers["detail"])) == 1000
