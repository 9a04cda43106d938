"""Clocks: how far those of other machines are from ours."""

from datetime import datetime, timedelta

from bus.runtime.doctor.finding import Finding, ok, wrong

# Waiting times and expiry are measured by one clock each. What compares two are the times in logs, events and
# dead letters, and the time in queue: a second is as much as anybody may be misled by.
MOST_SECONDS = 1.0


def compared(whose: str, service: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    """`theirs` was read between two of our times; the difference is told as far as it is sure."""
    ahead = max(timedelta(0), theirs - after)
    behind = max(timedelta(0), before - theirs)
    seconds = max(ahead, behind).total_seconds()
    if seconds <= MOST_SECONDS:
        return ok("clocks", f"the {whose}'s clock and ours agree within a second", service)
    side = "ahead of" if ahead else "behind"
    detail = f"the {whose}'s clock is {seconds:.1f} s {side} ours: times told by both mislead. Keep both with NTP."
    return wrong("clocks", detail, service)
