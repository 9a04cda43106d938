"""The account of a fuzz: what became of each message."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Account:
    """What became of the messages, by their numbers."""

    sent: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[bytes] = field(default_factory=list)
    dead: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    ended: list[str] = field(default_factory=list)
    recovered_in: float = 0.0

    @property
    def lost(self) -> set[str]:
        """Taken by the broker and seen nowhere."""
        return self.sent - self.refused - self.answers.keys() - self.dead.keys() - self.done.keys()

    @property
    def duplicated(self) -> set[str]:
        """Answered, kept or carried out twice."""
        return {number for seen in (self.answers, self.dead, self.done) for number, times in seen.items() if times > 1}

    @property
    def unexpected(self) -> int:
        """Faults, messages that nobody sent, and workers that ended."""
        strange = (self.answers.keys() | self.dead.keys() | self.done.keys() | self.refused) - self.sent
        return len(self.failures) + len(strange) + len(self.ended)
