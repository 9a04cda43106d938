"""Provisioning: the ways to get a server, in the order in which they are tried."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, get_args

from bus.testing.servers import apt
from bus.testing.servers.containers import check_engine
from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.runner import Kind
from bus.testing.servers.server import Server

S = TypeVar("S", bound=Server)


@dataclass(frozen=True)
class Provisioner(Generic[S]):
    """Gets one kind of server: given by its URL, in a container, or as a process that we start, in this order."""

    name: str
    error: type[ProvisioningFailed]
    # Environment variables: the server's URL, the only kind that is allowed, another image.
    url_variable: str
    kind_variable: str
    image_variable: str
    image: str
    # Debian's names of what `find_programs` looks for.
    packages: tuple[str, ...]
    find_programs: Callable[[], Path | None]
    from_url: Callable[[str], S]
    from_image: Callable[[str], S]
    from_programs: Callable[[Path], S]

    def find(self, kind: Kind | None = None) -> S:
        """Get the server the first way that works, or as `kind` or the environment demands. Raises `error`."""
        reasons = []
        for candidate in self._candidates(kind):
            try:
                self._describe(candidate)
                return self._provide(candidate)
            except ProvisioningFailed as reason:
                reasons.append(f"{candidate}: {reason}")
        raise self.error(self._sentence(reasons))

    def plan(self) -> str:
        """Describe in one line what `find` would do now, without starting or installing anything. Raises `error`."""
        reasons = []
        for candidate in self._candidates(None):
            try:
                return f"{self.name}: {candidate}, {self._describe(candidate)}"
            except ProvisioningFailed as reason:
                reasons.append(f"{candidate}: {reason}")
        raise self.error(self._sentence(reasons))

    def _candidates(self, kind: Kind | None) -> tuple[Kind, ...]:
        kinds: tuple[Kind, ...] = get_args(Kind)
        demanded = kind or os.environ.get(self.kind_variable)
        if not demanded:
            return kinds
        if demanded not in kinds:
            raise self.error(f"{self.kind_variable} must be one of {', '.join(kinds)}, not {demanded!r}.")
        return (demanded,)

    def _describe(self, kind: Kind) -> str:
        """What would be used. Changes nothing; raises ProvisioningFailed when this way is not possible."""
        if kind == "given":
            if self.url_variable not in os.environ:
                raise ProvisioningFailed(f"{self.url_variable} is not set")
            return f"the URL in {self.url_variable}"
        if kind == "container":
            check_engine()
            return f"image {self._image}"
        programs = self.find_programs()
        if programs is None:
            apt.check_installable(*self.packages)
        return f"started from {programs}" if programs else f"after apt-get install {' '.join(self.packages)}"

    def _provide(self, kind: Kind) -> S:
        if kind == "given":
            return self.from_url(os.environ[self.url_variable])
        if kind == "container":
            return self.from_image(self._image)
        return self.from_programs(self._installed() or self._install())

    def _installed(self) -> Path | None:
        with apt.nothing_half_installed():
            return self.find_programs()

    def _install(self) -> Path:
        apt.install(*self.packages)
        programs = self._installed()
        if programs is None:
            raise ProvisioningFailed(f"{' and '.join(self.packages)} is installed, but its programs were not found")
        return programs

    @property
    def _image(self) -> str:
        return os.environ.get(self.image_variable) or self.image

    def _sentence(self, reasons: list[str]) -> str:
        choices = f"set {self.url_variable}, start a Docker engine, or install {' and '.join(self.packages)}"
        return f"No {self.name}: {choices} ({'; '.join(reasons)})."
