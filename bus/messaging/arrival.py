"""Arrivals: what is known of a message at the moment a transport hands it over."""

import time

from bus.messaging.headers import now_ms, waited_ms
from bus.messaging.message import Delivery, Message
from bus.messaging.trace_context import continued


def arrived(message: Message, *, tag: int, session: int, deaths: int) -> Delivery:
    """The message in our hands from now on."""
    return Delivery(
        message=message,
        tag=tag,
        session=session,
        deaths=deaths,
        received_at=time.monotonic(),
        queued_ms=waited_ms(message.headers, message.timestamp, now_ms()),
        trace=continued(message.headers),
    )
