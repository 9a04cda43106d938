"""Throttling: how long to wait after failed tries. The time comes from the caller, the counts from the database."""

from datetime import datetime, timedelta
from typing import NamedTuple


class Limit(NamedTuple):
    """How often something may fail or be done before the next try has to wait.

    From the `free`-th on, each makes the wait twice as long: one second, two, four, up to `most`. A count is forgotten
    when nothing was added to it for `forget`.
    """

    free: int
    most: timedelta
    forget: timedelta

    def wait_after(self, count: int) -> timedelta:
        """How long the next try has to wait after this many."""
        if count < self.free:
            return timedelta(0)
        # A bounded exponent: a count of thousands must not make a number of thousands of digits.
        return min(self.most, timedelta(seconds=2 ** min(count - self.free, 20)))

    def is_forgotten(self, last_at: datetime, now: datetime) -> bool:
        """Whether a count starts again."""
        return now - last_at >= self.forget


# Guesses of the password of one account.
ACCOUNT_FAILURES = Limit(free=5, most=timedelta(minutes=15), forget=timedelta(hours=24))
# Guesses of its one-time passwords, by a guesser that knows the password: 96 a day at most, of a million codes of which
# three are good.
OTP_FAILURES = Limit(free=5, most=timedelta(minutes=15), forget=timedelta(hours=24))
