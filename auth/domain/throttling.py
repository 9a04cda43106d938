"""Throttling: how long to wait after failed tries. The time comes from the caller, the counts from the database."""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple, Protocol


class Counted(NamedTuple):
    """A count as the database keeps it: the next try may come at `waits_until`."""

    number: int
    last_at: datetime
    waits_until: datetime


class Limit(Protocol):
    """How often something may fail or be done before the next try has to wait."""

    def after(self, number: int, last_at: datetime, now: datetime) -> Counted:
        """The count with one more. A new one comes with 0 and `now`."""


class GrowingWait(NamedTuple):
    """For guesses: from the `free`-th on, each makes the wait twice as long: `first`, twice that, up to `most`.

    A count is forgotten when nothing was added to it for `forget`.
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

    def after(self, number: int, last_at: datetime, now: datetime) -> Counted:
        """The count with one more; begins again after a long pause."""
        number = 1 if now - last_at >= self.forget else number + 1
        return Counted(number, now, now + self.wait_after(number))


class Rate(NamedTuple):
    """For what many honest people share, such as the address of an office: `burst` at once, then one in each `pause`.

    The generic cell rate algorithm (ITU-T I.371, annex A): `last_at` is when all that was counted would have come, had
    it kept to the rate.
    """

    burst: int
    pause: timedelta

    def after(self, number: int, last_at: datetime, now: datetime) -> Counted:
        """The count with one more."""
        spread = max(last_at, now) + self.pause
        return Counted(number + 1, spread, max(now, spread - (self.burst - 1) * self.pause))


# Guesses of the password of one account.
ACCOUNT_FAILURES = GrowingWait(free=5, most=timedelta(minutes=15), forget=timedelta(hours=24))
# Guesses of its one-time passwords, by a guesser that knows the password: 96 a day at most, of a million codes of which
# three are good.
OTP_FAILURES = GrowingWait(free=5, most=timedelta(minutes=15), forget=timedelta(hours=24))
# Mails to one address, of one kind: three at once, then after a minute, two, four and so on; about 32 in a day.
MAILS = GrowingWait(free=3, most=timedelta(hours=1), forget=timedelta(hours=24), first=timedelta(minutes=1))
# Failed log-ins from one address, whatever the accounts: an office mistypes, and a list of passwords takes years.
ADDRESS_FAILURES = Rate(burst=30, pause=timedelta(seconds=10))
# Accounts that are made from one address.
ADDRESS_REGISTRATIONS = Rate(burst=30, pause=timedelta(seconds=60))
# Mails of one kind that are asked for from one address, whoever gets them.
ADDRESS_MAILS = Rate(burst=30, pause=timedelta(seconds=60))

# The part of an IPv6 address that belongs to one connection to the internet (RFC 6177).
_IPV6_BITS = 64


def client_of(address: str) -> str:
    """What of an address is throttled; empty for none, and for this machine's own.

    A loopback address says nothing of a client: with a proxy on this machine that is not among TRUSTED_PROXIES, all
    clients have it, and would be throttled as one.
    """
    if not address:
        return ""
    parsed = ip_address(address)
    if parsed.is_loopback:
        return ""
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), _IPV6_BITS), strict=False).network_address)
    return address
