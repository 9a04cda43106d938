"""Recipe: the ways to a part, in the order in which they are tried."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, get_args

from bus.testing.servers import apt
from bus.testing.servers.containers import check_engine
from bus.testing.servers.part import Part
from bus.testing.servers.server import Kind
from bus.testing.servers.unavailable import Unavailable

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Recipe(Generic[P]):
    """How one part is had: given by its address, in a container, or as a process of ours, in this order."""

    part: str
    error: type[Unavailable]
    # Environment variables: the part's address, the only kind that is allowed, another image.
    url_variable: str
    kind_variable: str
    image_variable: str
    image: str
    # Debian's names of what `installed` looks for.
    packages: tuple[str, ...]
    installed: Callable[[], Path | None]
    from_url: Callable[[str], P]
    from_image: Callable[[str], P]
    from_programs: Callable[[Path], P]

    def find(self, kind: Kind | None = None) -> P:
        """Take the first way that is open, or the one that `kind` or the environment names. Raises `error`."""
        reasons = []
        for candidate in self._candidates(kind):
            try:
                self._look(candidate)
                return self._take(candidate)
            except Unavailable as reason:
                reasons.append(f"{candidate}: {reason}")
        raise self.error(self._sentence(reasons))

    def plan(self) -> str:
        """Say in one line what `find` would take now; nothing is started or installed. Raises `error`."""
        reasons = []
        for candidate in self._candidates(None):
            try:
                return f"{self.part}: {candidate}, {self._look(candidate)}"
            except Unavailable as reason:
                reasons.append(f"{candidate}: {reason}")
        raise self.error(self._sentence(reasons))

    def _candidates(self, kind: Kind | None) -> tuple[Kind, ...]:
        kinds: tuple[Kind, ...] = get_args(Kind)
        wanted = kind or os.environ.get(self.kind_variable)
        if not wanted:
            return kinds
        if wanted not in kinds:
            raise self.error(f"{self.kind_variable} must be one of {', '.join(kinds)}, not {wanted!r}.")
        return (wanted,)

    def _look(self, kind: Kind) -> str:
        """Say what would be used, and touch nothing. Raises Unavailable."""
        if kind == "given":
            if self.url_variable not in os.environ:
                raise Unavailable(f"{self.url_variable} is not set")
            return f"named by {self.url_variable}"
        if kind == "container":
            check_engine()
            return f"of {self._wanted_image}"
        programs = self.installed()
        if programs is None:
            apt.check_installable(*self.packages)
        return f"of {programs}" if programs else f"after apt-get install {' '.join(self.packages)}"

    def _take(self, kind: Kind) -> P:
        if kind == "given":
            return self.from_url(os.environ[self.url_variable])
        if kind == "container":
            return self.from_image(self._wanted_image)
        return self.from_programs(self._found() or self._install())

    def _found(self) -> Path | None:
        with apt.nothing_half_installed():
            return self.installed()

    def _install(self) -> Path:
        apt.install(*self.packages)
        programs = self._found()
        if programs is None:
            raise Unavailable(f"the programs of {' and '.join(self.packages)} are not where we look")
        return programs

    @property
    def _wanted_image(self) -> str:
        return os.environ.get(self.image_variable) or self.image

    def _sentence(self, reasons: list[str]) -> str:
        choices = f"set {self.url_variable}, start a Docker engine, or install {' and '.join(self.packages)}"
        return f"No {self.part}: {choices} ({'; '.join(reasons)})."
