"""Throttling: how long to wait after failed tries. The time comes from the caller, the counts from the database."""

from datetime import datetime, timedelta
from typing import NamedTuple


class Limit(NamedTuple):
    """How often something may fail or be done before the next try has to wait.

    From the `free`-th on, each makes the wait twice as long: `first`, twice that, four times that, up to `most`. A
    count is forgotten when nothing was added to it for `forget`.
    """

    free: int
    most: timedelta
    forget: timedelta
    first: timedelta = timedelta(seconds=1)

    def wait_after(self, count: int) -> timedelta:
        """How long the next try has to wait after this many."""
        if count < self.free:
            return timedelta(0)
        # A bounded exponent: a count of thousands must not make a number of thousands of digits.
        return min(self.most, self.first * (1 << min(count - self.free, 20)))

    def is_forgotten(self, last_at: datetime, now: datetime) -> bool:
        """Whether a count starts again."""
        return now - last_at >= self.forget


# Guesses of the password of one account.
ACCOUNT_FAILURES = Limit(free=5, most=timedelta(minutes=15), forget=timedelta(hours=24))
# Guesses of its one-time passwords, by a guesser that knows the password: 96 a day at most, of a million codes of which
# three are good.
OTP_FAILURES = Limit(free=5, most=timedelta(minutes=15), forget=timedelta(hours=24))
# Mails to one address, of one kind: three at once, then after a minute, two, four and so on; about 32 in a day.
MAILS = Limit(free=3, most=timedelta(hours=1), forget=timedelta(hours=24), first=timedelta(minutes=1))
