"""The scale of a row: in full, or short enough for every test run."""

from enum import Enum
from typing import TypeVar

T = TypeVar("T")

# In every test run there is another one beside us, on a machine that stands still for seconds at times.
SLACK_SECONDS = 10.0
# Of a front end's time, for one request to be taken and answered, where it shares its core with all the others.
TURN_SECONDS = 0.002


class Scale(Enum):
    """How much a row does."""

    FULL = "full"
    SHORT = "short"

    def of(self, full: T, short: T) -> T:
        """The one that fits."""
        return full if self is Scale.FULL else short

    def within(self, seconds: float) -> float:
        """A bound of time: in full, with the machine to itself, as it is, and in every test run with some slack."""
        return self.of(seconds, seconds + SLACK_SECONDS)

    @property
    def crowd(self) -> int:
        """How many clients wait at the same time in a row for many of them."""
        return self.of(1_000, 16)

    def within_crowd(self, seconds: float) -> float:
        """A bound of time where all of a crowd are answered at once, and one of them is the last."""
        return seconds + self.crowd * TURN_SECONDS

    @property
    def creates(self) -> int:
        """How many commands a row sends, unless it says otherwise."""
        return self.of(5_000, 200)
