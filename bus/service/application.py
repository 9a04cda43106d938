"""Applications: a service as `bus` runs it. What the entry points of the group `bus.services` name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bus.client.client import Client
from bus.contract.installed import importing, named_services
from bus.contract.operations import Operation, operations_in
from bus.contract.settings import Settings
from bus.service.service import Service

Wsgi = Callable[..., Iterable[bytes]]


@dataclass(frozen=True)
class Application:
    """The parts of a service. `web` makes the HTTP front end; `port` is its port unless the environment
    names another; `migrations` is the package of its Alembic history; `seed` fills an empty system for
    a first look; `commands` names a click group, as in `shelf.cli:commands`, that `bus` has under the service's name.
    """

    service: Service
    contract: ModuleType
    web: Callable[[Client], Wsgi]
    migrations: str
    port: int
    seed: Callable[[Client], None] | None = None
    commands: str = ""

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def operations(self) -> list[type[Operation[Any]]]:
        """The operations of the contract."""
        return operations_in(self.contract)


def declared_by(applications: Sequence[Application]) -> tuple[dict[str, int], dict[str, Settings]]:
    """What services declare of their settings: their ports, and the defaults of those of their own."""
    return {each.name: each.port for each in applications}, {each.name: each.service.settings for each in applications}


def installed_applications() -> dict[str, Application]:
    """All services of the installed packages by name. Raises what importing them raises."""
    with importing():
        found = [entry_point.load() for entry_point in named_services()]
    return {application.name: application for application in sorted(found, key=lambda each: each.name)}
