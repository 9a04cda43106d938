"""Settings: everything the environment can say, read once and checked together."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

DEFAULT_BUS_URL = "memory://"
_DATABASES = ("postgresql", "sqlite")


class SettingsError(Exception):
    """The environment has mistakes; the message names them all, one a line. The operator's to mend."""


@dataclass(frozen=True)
class ServiceSettings:
    """What differs between services: the port of the front end and the database's URL."""

    port: int
    database_url: str


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Each has the environment variable of its name, or one that ends in
    `_FILE` and names a file which holds it."""

    bus_url: str
    bind: str
    seed: bool
    log_level: str
    services: Mapping[str, ServiceSettings]


def read_settings(environment: Mapping[str, str], default_ports: Mapping[str, int]) -> Settings:
    """Read the settings of these services. Raises SettingsError with every mistake in it."""
    reader = _Reader(environment)
    data = reader.text("DATA_DIR", "data")
    services = {name: reader.service(name, port, data) for name, port in default_ports.items()}
    settings = Settings(
        bus_url=reader.bus_url(),
        bind=reader.address("BIND", "127.0.0.1"),
        seed=reader.one_of("SEED", "1", ("0", "1")) == "1",
        log_level=reader.one_of("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        services=services,
    )
    reader.mistakes += _shared(services)
    if reader.mistakes:
        raise SettingsError("\n".join(reader.mistakes))
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.mistakes: list[str] = []

    def text(self, name: str, default: str) -> str:
        file = self._environment.get(f"{name}_FILE")
        if file is None:
            return self._environment.get(name) or default
        if name in self._environment:
            self.mistakes.append(f"{name} and {name}_FILE are both set: set one.")
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.mistakes.append(f"{name}_FILE: {error}")
            return default

    def one_of(self, name: str, default: str, allowed: Iterable[str]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            self.mistakes.append(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
        return value

    def address(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ipaddress.ip_address(value)
        except ValueError:
            self.mistakes.append(f"{name} must be an IP address such as 127.0.0.1, not {value!r}.")
        return value

    def bus_url(self) -> str:
        value = self.text("BUS_URL", DEFAULT_BUS_URL)
        if not value.startswith(("memory://", "amqp://", "amqps://")):
            self.mistakes.append("BUS_URL must begin with memory://, amqp:// or amqps://.")
        return value

    def service(self, name: str, default_port: int, data: str) -> ServiceSettings:
        prefix = name.upper()
        return ServiceSettings(
            port=self._port(f"{prefix}_PORT", default_port),
            database_url=self._database_url(f"{prefix}_DATABASE_URL", f"sqlite:///{data}/{name}.db"),
        )

    def _port(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not (value.isdecimal() and 0 < int(value) < 65536):
            self.mistakes.append(f"{name} must be a port from 1 to 65535, not {value!r}.")
            return default
        return int(value)

    def _database_url(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            kind = make_url(value).get_backend_name()
        except (ArgumentError, ValueError):  # the second for a port that is no number
            kind = ""
        if kind not in _DATABASES:
            self.mistakes.append(f"{name} must begin with postgresql:// or sqlite:///.")
        return value


def _shared(services: Mapping[str, ServiceSettings]) -> list[str]:
    mistakes = []
    for what in ("port", "database_url"):
        users: dict[object, list[str]] = {}
        for name, service in services.items():
            users.setdefault(getattr(service, what), []).append(name)
        shared = (names for names in users.values() if len(names) > 1)
        mistakes += [f"{' and '.join(names)} have the same {what}: each needs its own." for names in shared]
    return mistakes
