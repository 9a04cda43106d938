"""Values of a form, as their page has offered them."""

from flask import request

# Of a replay, in messages a second.
MOST_RATE, RATE = 1000, 100
MAX_REASON = 500


def number_of(text: str) -> int:
    """The number that a text is, 0 for any other."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def chosen_rate() -> float:
    """The rate of a replay."""
    return float(min(MOST_RATE, max(1, number_of(request.form.get("rate", "")))))


def chosen_reason() -> str:
    """Why something is done."""
    return request.form.get("reason", "").strip()[:MAX_REASON]
