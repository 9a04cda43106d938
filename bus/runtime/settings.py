"""The settings: every environment variable, read once; all errors are reported together."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from bus.contract.settings import Settings as OwnSettings
from bus.database.encryption import DatabaseKeys
from bus.messaging.broker_url import EMBEDDED
from bus.messaging.topology import DEFAULT_LIMITS, Limits
from bus.runtime.settings_reader import SettingsReader

if TYPE_CHECKING:  # importing it takes long, and listing dead letters needs no service
    from bus.service.service import Service

# Up to this many letters more, fewer, other or swapped make a misspelling. Short names are only one letter away from
# words that have nothing to do with us.
_LONG_NAME, _MISSPELT_LETTERS = 8, 2

# What people write for the PostgreSQL beside them; without a host it is asked through a socket file.
_THIS_MACHINE = (None, "", "localhost", "127.0.0.1", "::1")

# In a row before a front end; more is a mistake.
MOST_PROXIES = 16
CONSOLE_PORT = 5002
# As many as 96 random bits have in base64.
MIN_TOKEN_CHARACTERS = 16


class SettingsError(Exception):
    """The environment has errors; the message has one line for each. The operator has to fix them."""


@dataclass(frozen=True)
class ServiceSettings:
    """The settings of one service: the port of its front end, the URL of its database, whether its workers refuse
    secrets that are not sealed, the port of a worker's metrics, if it has one, what the service itself declares, the
    thumbprint of the identity key that must have signed its sealing keys, empty to trust the first one, the keys that
    its database is encrypted with, empty for those in a file, and the secret of its service account, if it has one."""

    port: int
    database_url: str
    require_sealed: bool = False
    metrics_port: int | None = None
    own: OwnSettings = field(default_factory=OwnSettings)
    identity: str = ""
    database_key: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Each comes from the environment variable of its name, or from the file named by that
    variable with `_FILE` at its end.

    `misspelt` has the variables whose names are nearly those of settings, each with the setting that is probably meant.
    `trusted_proxies` is how many proxies stand before the front ends, each of which adds to X-Forwarded-For.
    `operator_token` is empty where only a file in `data_dir` has it. `console_token` opens the console; without one, a
    new one is made at each start.
    """

    bus_url: str
    bind: str
    seed: bool
    log_level: str
    log_format: str
    limits: Limits
    services: Mapping[str, ServiceSettings]
    data_dir: Path
    misspelt: Mapping[str, str]
    trusted_proxies: int = 0
    operator_token: str = ""
    console_port: int = 0
    console_token: str = ""

    @property
    def identities(self) -> Mapping[str, str]:
        """The thumbprints of the identity keys that are set, by service."""
        return {name: service.identity for name, service in self.services.items() if service.identity}

    def database_keys(self, service: str) -> DatabaseKeys:
        """The keys that the database of a service is encrypted with: the setting, or a file in DATA_DIR."""
        text = self.services[service].database_key
        return DatabaseKeys(f"{service.upper()}_DATABASE_KEY", text, self.data_dir / f"{service}.key")

    @property
    def is_embedded(self) -> bool:
        """Whether the broker is inside the process, so that no other process can use it."""
        return self.bus_url.startswith(EMBEDDED)


def read_settings(
    environment: Mapping[str, str],
    default_ports: Mapping[str, int],
    own: Mapping[str, OwnSettings] = MappingProxyType({}),
) -> Settings:
    """Read and check the settings of these services. Raises SettingsError with all errors in it.

    `own` has the defaults of what services declare for themselves.
    """
    reader = SettingsReader(environment)
    data = reader.folder("DATA_DIR", "data")
    services = {
        name: _service(reader, name, port, data, own.get(name, OwnSettings())) for name, port in default_ports.items()
    }
    settings = Settings(
        bus_url=reader.bus_url("BUS_URL"),
        bind=reader.address("BIND", "127.0.0.1"),
        seed=reader.one_of("SEED", "1", ("0", "1")) == "1",
        log_level=reader.one_of("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        log_format=reader.one_of("LOG_FORMAT", "auto", ("auto", "json", "text")),
        limits=_limits(reader),
        services=services,
        data_dir=data,
        trusted_proxies=reader.count("TRUSTED_PROXIES", MOST_PROXIES),
        operator_token=reader.secret("BUS_OPERATOR_TOKEN", MIN_TOKEN_CHARACTERS),
        console_port=reader.port("CONSOLE_PORT", CONSOLE_PORT),
        console_token=reader.secret("BUS_CONSOLE_TOKEN", MIN_TOKEN_CHARACTERS),
        misspelt=_misspelt(environment, reader.names),
    )
    errors = [*reader.errors, *_shared_values(services), *_too_long(settings.limits)]
    if errors:
        errors += map(misspelling, settings.misspelt.items())
        raise SettingsError("\n".join(errors))
    return settings


def configure(service: "Service", settings: Settings) -> None:
    """Give a service what it declares of its own, the folder for its files, and the secret of its account."""
    given = settings.services[service.name]
    service.settings, service.data_dir, service.client_secret = given.own, settings.data_dir, given.client_secret


def misspelling(names: tuple[str, str]) -> str:
    """A variable and the setting that is probably meant, in one sentence."""
    return f"{names[0]} is set, but is not a setting. Did you mean {names[1]}?"


def _service(reader: SettingsReader, name: str, default_port: int, data: Path, own: OwnSettings) -> ServiceSettings:
    prefix = name.upper()
    return ServiceSettings(
        port=reader.port(f"{prefix}_PORT", default_port),
        database_url=reader.database_url(f"{prefix}_DATABASE_URL", data / f"{name}.db"),
        require_sealed=reader.one_of(f"{prefix}_REQUIRE_SEALED", "0", ("0", "1")) == "1",
        metrics_port=reader.port(f"{prefix}_METRICS_PORT", None),
        own=reader.declared(prefix, own),
        identity=reader.thumbprint(f"{prefix}_IDENTITY_KEY"),
        database_key=reader.database_keys(f"{prefix}_DATABASE_KEY"),
        client_secret=reader.text(f"{prefix}_CLIENT_SECRET", ""),
    )


def _limits(reader: SettingsReader) -> Limits:
    defaults = DEFAULT_LIMITS
    keep_days = reader.number("KEEP_DAYS", defaults.keep_days)
    return Limits(
        handler_seconds=reader.number("HANDLER_SECONDS", defaults.handler_seconds),
        retry_seconds=reader.delays("RETRY_SECONDS", defaults.retry_seconds),
        queue_bound=int(reader.number("QUEUE_BOUND", defaults.queue_bound)),
        replicate_queries=reader.one_of("QUERY_QUEUES", "classic", ("classic", "quorum")) == "quorum",
        keep_days=keep_days,
        give_up_hours=reader.number("GIVE_UP_HOURS", min(defaults.give_up_hours, 24 * keep_days)),
    )


def _too_long(limits: Limits) -> Iterator[str]:
    if limits.give_up_hours > 24 * limits.keep_days:
        yield "GIVE_UP_HOURS must not be longer than KEEP_DAYS: a nested call would have another effect after that."


def _shared_values(services: Mapping[str, ServiceSettings]) -> Iterator[str]:
    """One error for each port or database that several settings name, in whatever words."""
    users: dict[object, list[str]] = {}
    for name, service in services.items():
        for setting in ("port", "metrics_port"):
            if (port := getattr(service, setting)) is not None:
                users.setdefault(port, []).append(f"{name}_{setting}".upper())
        users.setdefault(_same_database(service.database_url), []).append(f"{name}_database_url".upper())
    for names in users.values():
        if len(names) > 1:
            yield f"{' and '.join(names)} are equal: set them to different values."


def _same_database(url: str) -> object:
    """What is equal for two URLs of one database."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return os.path.realpath(str(parsed.database))
    host = "" if parsed.host in _THIS_MACHINE else parsed.host
    place = host, parsed.port or 5432, parsed.database or parsed.username
    return place, tuple(sorted(parsed.query.items()))


def _misspelt(environment: Iterable[str], settings: set[str]) -> dict[str, str]:
    found = {}
    for name in set(environment) - settings:
        near = [(_distance(name.upper(), setting), setting) for setting in settings if _may_be_near(name, setting)]
        distance, nearest = min(near, default=(_LONG_NAME, ""))
        if distance <= (_MISSPELT_LETTERS if len(nearest) >= _LONG_NAME else 1):
            found[name] = nearest
    return found


def _may_be_near(name: str, setting: str) -> bool:
    """Rules out nearly all variables, without counting."""
    other_letters = {*name.upper()} ^ {*setting}
    return abs(len(name) - len(setting)) <= _MISSPELT_LETTERS and len(other_letters) <= 2 * _MISSPELT_LETTERS


def _distance(one: str, other: str) -> int:
    """How many letters are more, fewer, other or swapped (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, above, row = row, before, [i]
        for j, its in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != its)))
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], its):
                row[j] = min(row[j], above[j - 2] + 1)
    return row[-1]
