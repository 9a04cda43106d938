"""Efforts: how long a handler took with a call."""

import time
from collections.abc import Sequence

import msgspec


class Effort(msgspec.Struct):
    """The last try of a handler with one call. Times are time.monotonic(); `shared_by` calls it took them together,
    and none while no handler has had this call."""

    begun: float = 0.0
    ended: float = 0.0
    shared_by: int = 0

    @property
    def seconds(self) -> float | None:
        """This call's part of the handler's time; None when no handler has had it."""
        return (self.ended - self.begun) / self.shared_by if self.shared_by else None

    def forget(self) -> None:
        """What the handler did was undone, and the answer comes from elsewhere."""
        self.shared_by = 0


class measuring:  # noqa: N801  # used as `with measuring(…)`, and cheaper than a generator
    """Note in these efforts how long the block takes, however it ends."""

    def __init__(self, efforts: Sequence[Effort]) -> None:
        self._efforts = efforts
        self._begun = time.monotonic()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        ended, shared_by = time.monotonic(), len(self._efforts)
        for effort in self._efforts:
            effort.begun, effort.ended, effort.shared_by = self._begun, ended, shared_by
