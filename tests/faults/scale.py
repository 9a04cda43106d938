"""The scale of a row: in full, or short enough for every test run."""

from enum import Enum
from typing import TypeVar

T = TypeVar("T")

# In every test run there is another one beside us, on a machine that stands still for seconds at times.
SLACK_SECONDS = 10.0


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
    def creates(self) -> int:
        """How many commands a row sends, unless it says otherwise."""
        return self.of(5_000, 200)
