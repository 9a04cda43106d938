"""Findings: what the doctor says of one thing."""

from typing import Literal

import msgspec

State = Literal["ok", "wrong", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, of which service (none: of all), and in which state it is.

    `detail` is for people: what is wrong, and what to do. `unknown` is what could not be looked at, because
    of something else that is wrong or that is inside another process.
    """

    check: str
    service: str | None
    state: State
    detail: str


def ok(check: str, detail: str, service: str | None = None) -> Finding:
    """Nothing to do."""
    return Finding(check, service, "ok", detail)


def wrong(check: str, detail: str, service: str | None = None) -> Finding:
    """Somebody must do something."""
    return Finding(check, service, "wrong", detail)


def unknown(check: str, detail: str, service: str | None = None) -> Finding:
    """Not looked at, and why."""
    return Finding(check, service, "unknown", detail)
