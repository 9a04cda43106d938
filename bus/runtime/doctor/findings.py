"""A finding of the doctor, and the comparison of clocks that databases and workers share."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

State = Literal["ok", "warning", "wrong", "unknown"]

# For how long the doctor waits for one worker or front end: they answer within milliseconds, even when busy; the rest
# is for slow machines.
ANSWER_SECONDS = 3.0
# Delays and expiry are measured by one clock each. Only the times in logs, events and dead letters, and the time in
# queues, depend on two clocks: there a difference of a second is acceptable.
MAX_CLOCK_SECONDS = 1.0


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. `service` is None if it concerns all services.

    `detail` says what is wrong and what to do. The state is `unknown` if it could not be checked, because of another
    problem or because it is inside another process.
    """

    check: str
    service: str | None
    state: State
    detail: str


def ok(check: str, detail: str, service: str | None = None) -> Finding:
    """Nothing to do."""
    return Finding(check, service, "ok", detail)


def warning(check: str, detail: str, service: str | None = None) -> Finding:
    """The operator should look at it; it may be meant."""
    return Finding(check, service, "warning", detail)


def wrong(check: str, detail: str, service: str | None = None) -> Finding:
    """The operator has to fix it."""
    return Finding(check, service, "wrong", detail)


def unknown(check: str, detail: str, service: str | None = None) -> Finding:
    """It could not be checked; `detail` says why."""
    return Finding(check, service, "unknown", detail)


def clock_finding(owner: str, service: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    """Compare a clock with ours: `theirs` was read between our times `before` and `after`."""
    ahead = max(timedelta(0), theirs - after)
    behind = max(timedelta(0), before - theirs)
    seconds = max(ahead, behind).total_seconds()
    if seconds <= MAX_CLOCK_SECONDS:
        return ok("clocks", f"the {owner}'s clock and ours agree within a second", service)
    side = "ahead of" if ahead else "behind"
    detail = f"the {owner}'s clock is {seconds:.1f} s {side} ours, so times in logs mislead. Set both with NTP."
    return wrong("clocks", detail, service)
