"""The settings: every environment variable, read once; all errors are reported together."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from bus.messaging.topology import DEFAULT_LIMITS, Limits

DEFAULT_BUS_URL = "memory://"
_DATABASES = ("postgresql", "sqlite")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_WHOLE = re.compile(r"[1-9][0-9]{0,5}")
# The largest value of any number, such as a queue of many gigabytes.
MAX_NUMBER = 10_000_000
MAX_RETRIES = 10


class SettingsError(Exception):
    """The environment has errors; the message has one line for each. The operator has to fix them."""


@dataclass(frozen=True)
class ServiceSettings:
    """The settings of one service: the port of its front end, the URL of its database, whether its workers refuse
    secrets that are not sealed, and the port of a worker's metrics, if it has one."""

    port: int
    database_url: str
    require_sealed: bool = False
    metrics_port: int | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Each comes from the environment variable of its name, or from the file named by that
    variable with `_FILE` at its end."""

    bus_url: str
    bind: str
    seed: bool
    log_level: str
    limits: Limits
    services: Mapping[str, ServiceSettings]


def read_settings(environment: Mapping[str, str], default_ports: Mapping[str, int]) -> Settings:
    """Read and check the settings of these services. Raises SettingsError with all errors in it."""
    reader = _Reader(environment)
    data = reader.text("DATA_DIR", "data")
    services = {name: reader.service(name, port, data) for name, port in default_ports.items()}
    settings = Settings(
        bus_url=reader.bus_url(),
        bind=reader.address("BIND", "127.0.0.1"),
        seed=reader.one_of("SEED", "1", ("0", "1")) == "1",
        log_level=reader.one_of("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        limits=reader.limits(),
        services=services,
    )
    reader.errors += _shared_values(services)
    if reader.errors:
        raise SettingsError("\n".join(reader.errors))
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.errors: list[str] = []

    def text(self, name: str, default: str) -> str:
        file = self._environment.get(f"{name}_FILE")
        if not file:
            return self._environment.get(name) or default
        if name in self._environment:
            self.errors.append(f"{name} and {name}_FILE are both set: set one.")
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.errors.append(f"{name}_FILE must name a readable text file: {error}.")
            return default

    def one_of(self, name: str, default: str, allowed: Iterable[str]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            self.errors.append(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
        return value

    def address(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ipaddress.ip_address(value)
        except ValueError:
            self.errors.append(f"{name} must be an IP address such as 127.0.0.1, not {value!r}.")
        return value

    def bus_url(self) -> str:
        value = self.text("BUS_URL", DEFAULT_BUS_URL)
        if not value.startswith(("memory://", "amqp://", "amqps://")):
            self.errors.append("BUS_URL must begin with memory://, amqp:// or amqps://.")
        return value

    def service(self, name: str, default_port: int, data: str) -> ServiceSettings:
        prefix = name.upper()
        return ServiceSettings(
            port=self._port(f"{prefix}_PORT", default_port),
            database_url=self._database_url(f"{prefix}_DATABASE_URL", f"sqlite:///{data}/{name}.db"),
            require_sealed=self.one_of(f"{prefix}_REQUIRE_SEALED", "0", ("0", "1")) == "1",
            metrics_port=self._port(f"{prefix}_METRICS_PORT", None),
        )

    def limits(self) -> Limits:
        defaults = DEFAULT_LIMITS
        return Limits(
            handler_seconds=self._number("HANDLER_SECONDS", defaults.handler_seconds),
            retry_seconds=self._delays("RETRY_SECONDS", defaults.retry_seconds),
            queue_bound=int(self._number("QUEUE_BOUND", defaults.queue_bound)),
            replicate_queries=self.one_of("QUERY_QUEUES", "classic", ("classic", "quorum")) == "quorum",
            keep_days=self._number("KEEP_DAYS", defaults.keep_days),
        )

    def _number(self, name: str, default: float) -> float:
        value = self.text(name, str(default))
        if not (_NUMBER.fullmatch(value) and 0 < float(value) <= MAX_NUMBER):
            self.errors.append(f"{name} must be a number above 0, up to {MAX_NUMBER}, not {value!r}.")
            return default
        return float(value)

    def _delays(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.text(name, ",".join(map(str, default)))
        parts = value.split(",")
        is_valid = len({*parts}) == len(parts) <= MAX_RETRIES
        if not (is_valid and all(_WHOLE.fullmatch(part) for part in parts)):
            allowed = f"up to {MAX_RETRIES} different whole numbers such as 5,30,120"
            self.errors.append(f"{name} must be {allowed}, not {value!r}.")
            return default
        return tuple(map(int, parts))

    @overload
    def _port(self, name: str, default: int) -> int: ...

    @overload
    def _port(self, name: str, default: None) -> int | None: ...

    def _port(self, name: str, default: int | None) -> int | None:
        value = self.text(name, "" if default is None else str(default))
        if default is None and not value:
            return None
        if not (value.isdecimal() and 0 < int(value) < 65536):
            self.errors.append(f"{name} must be a port from 1 to 65535, not {value!r}.")
            return default
        return int(value)

    def _database_url(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            kind = make_url(value).get_backend_name()
        except (ArgumentError, ValueError):  # ValueError: the port is not a number
            kind = ""
        if kind not in _DATABASES:
            self.errors.append(f"{name} must begin with postgresql:// or sqlite:///.")
        return value


def _shared_values(services: Mapping[str, ServiceSettings]) -> list[str]:
    """One error for each port or database that several services have."""
    errors = []
    for field in ("port", "metrics_port", "database_url"):
        users: dict[object, list[str]] = {}
        for name, service in services.items():
            users.setdefault(getattr(service, field), []).append(f"{name}_{field}".upper())
        shared = (names for value, names in users.items() if value is not None and len(names) > 1)
        errors += [f"{' and '.join(names)} are equal: set them to different values." for names in shared]
    return errors
