"""Preferences: what an HTTP client would like of its answer (RFC 7240). No input, no output."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Nobody is kept waiting longer, however long they would like to: a waiting request holds a thread.
MAX_WAIT_SECONDS = 30

# Every quantifier keeps what it took (possessive): a header that nearly fits must not be tried in all ways.
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
# One element of the list, with commas inside quotes; broken ones too, so that the next one is found.
_ELEMENT = re.compile(rf'(?:{_QUOTED}|[^,"]|")++', re.DOTALL)
_WORD = rf"(?:{_NAME}|{_QUOTED})"
_PARAMETER = rf"(?:[ \t]*+;[ \t]*+(?:{_NAME}(?:[ \t]*+=[ \t]*+{_WORD})?+)?+)"
_PREFERENCE = re.compile(
    rf"[ \t]*+(?P<name>{_NAME})(?:[ \t]*+=[ \t]*+(?P<value>{_WORD}))?+{_PARAMETER}*+[ \t]*+", re.DOTALL
)
_SECONDS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Preferences:
    """Those we know: not to wait for the answer, and for how long to wait, in seconds."""

    respond_async: bool = False
    wait_seconds: int | None = None

    def applied_to(self, *, accepted: bool) -> str:
        """The value of `Preference-Applied` (section 3), empty for none; `accepted` when the answer is a 202."""
        applied = ["respond-async"] if self.respond_async and accepted else []
        if self.wait_seconds is not None:
            applied.append(f"wait={self.wait_seconds}")
        return ", ".join(applied)

    def wait(self, usual: float, *, is_command: bool) -> float:
        """How long to wait for the answer, in seconds. Only a command can be answered without waiting at all."""
        if self.wait_seconds is not None:
            return self.wait_seconds
        return 0.0 if self.respond_async and is_command else usual


NO_PREFERENCES = Preferences()


def preferences_of(header: str) -> Preferences:
    """Read a `Prefer` header; several ones are joined by commas.

    What is unknown or malformed is ignored. Of a name that comes twice only the first counts (section 2),
    whether or not its value makes sense.
    """
    if not header:
        return NO_PREFERENCES
    found: dict[str, str] = {}
    for name, value in _preferences(header):
        found.setdefault(name, value)
    return Preferences(found.get("respond-async") == "", _seconds(found.get("wait", "")))


def _preferences(header: str) -> Iterator[tuple[str, str]]:
    """Names in lower case, with their values. An empty value is none, and parameters mean nothing to us."""
    for element in _ELEMENT.findall(header):
        if match := _PREFERENCE.fullmatch(element):
            yield match["name"].lower(), _unquoted(match["value"] or "")


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL) if word.startswith('"') else word


def _seconds(value: str) -> int | None:
    """Whole seconds (section 4.3), at most so many as we wait; None for anything else."""
    if not _SECONDS.fullmatch(value):
        return None
    digits = value.lstrip("0") or "0"
    return MAX_WAIT_SECONDS if len(digits) > len(str(MAX_WAIT_SECONDS)) else min(int(digits), MAX_WAIT_SECONDS)
