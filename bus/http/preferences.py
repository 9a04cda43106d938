"""Preferences: how long an HTTP client is willing to wait for its answer (RFC 7240). No input, no output."""

from dataclasses import dataclass
from urllib.request import parse_http_list

# A client that asks for more waits this long: a waiting request holds a thread.
MAX_WAIT_SECONDS = 30


@dataclass(frozen=True)
class Preferences:
    """The preferences that we know: not to wait for the answer, and how long to wait, in seconds."""

    respond_async: bool = False
    wait_seconds: int | None = None

    def applied_to(self, *, accepted: bool) -> str:
        """The value of `Preference-Applied` (section 3), empty for none; `accepted` when the answer is a 202."""
        applied = ["respond-async"] if self.respond_async and accepted else []
        if self.wait_seconds is not None:
            applied.append(f"wait={self.wait_seconds}")
        return ", ".join(applied)

    def wait(self, usual: float, *, is_durable: bool) -> float:
        """How long to wait for the answer, in seconds. Only what is durable can be answered without waiting."""
        if self.wait_seconds is not None:
            return self.wait_seconds
        return 0.0 if self.respond_async and is_durable else usual


NO_PREFERENCES = Preferences()


def preferences_of(header: str) -> Preferences:
    """Read a `Prefer` header; several headers are joined by commas.

    What is unknown or malformed is ignored. If a name comes twice, only the first counts (section 2), even when its
    value makes no sense.
    """
    if not header:
        return NO_PREFERENCES
    found: dict[str, str] = {}
    # Not werkzeug's `parse_list_header`: it removes the quotes of a whole element, and `"wait=5"` is no preference.
    for element in parse_http_list(header):
        preference, _, _parameters = element.partition(";")
        name, _, value = preference.partition("=")
        found.setdefault(name.strip().lower(), _unquoted(value.strip()))
    return Preferences(found.get("respond-async") == "", _seconds(found.get("wait", "")))


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word


def _seconds(value: str) -> int | None:
    """Whole seconds (section 4.3), at most MAX_WAIT_SECONDS; None for anything else."""
    if not (value.isascii() and value.isdigit()):
        return None
    digits = value.lstrip("0") or "0"
    return MAX_WAIT_SECONDS if len(digits) > len(str(MAX_WAIT_SECONDS)) else min(int(digits), MAX_WAIT_SECONDS)
