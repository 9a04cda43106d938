"""The tally of a row: what was asked, what was promised, and what the database says."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from faults.census import Census

HEADER = "row   attempted  acknowledged      ok    lost  duplicated  unexpected  recovered in  fault"


@dataclass
class Tally:
    """`recovered_in` is the seconds from the fault's end to the first success; None where nothing was away.

    `broken` has a sentence for each condition that did not hold, `notes` what else was seen.
    """

    attempted: int = 0
    acknowledged: int = 0
    ok: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    recovered_in: float | None = None
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, attempted: Iterable[str], acknowledged: Iterable[str], census: Census) -> None:
        """Add names that were asked for, and those of them that were promised, as the database has them."""
        attempted, acknowledged = set(attempted), set(acknowledged)
        self.attempted += len(attempted)
        self.acknowledged += len(acknowledged)
        self.ok += sum(census.times(name) == 1 for name in acknowledged)
        self.lost += sum(census.times(name) == 0 for name in acknowledged)
        self.duplicated += sum(census.times(name) > 1 for name in attempted)

    def must(self, holds: bool, condition: str) -> None:
        """Note a condition of the row that does not hold."""
        if not holds:
            self.broken.append(condition)

    def note(self, text: str) -> None:
        """Tell something that is no condition."""
        self.notes.append(text)

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled, unexpected or broken."""
        return not (self.lost or self.duplicated or self.unexpected or self.broken)

    def line(self, number: str, title: str) -> str:
        """One line of the table under HEADER."""
        recovered = "" if self.recovered_in is None else f"{self.recovered_in:.1f} s"
        verdict = "" if self.passed else "  FAILED"
        return (
            f"{number:<5}{self.attempted:>10}{self.acknowledged:>14}{self.ok:>8}{self.lost:>8}"
            f"{self.duplicated:>12}{self.unexpected:>12}{recovered:>14}  {title}{verdict}"
        )
