"""The scale of a row: in full, or short enough for every test run."""

from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Scale(Enum):
    """How much a row does."""

    FULL = "full"
    SHORT = "short"

    def of(self, full: T, short: T) -> T:
        """The one that fits."""
        return full if self is Scale.FULL else short

    @property
    def creates(self) -> int:
        """How many commands a row sends, unless it says otherwise."""
        return self.of(5_000, 200)
