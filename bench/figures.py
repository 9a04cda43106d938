"""Figures: everything a run has measured."""

from dataclasses import dataclass, field

SCENARIOS = ("create", "get")


@dataclass(frozen=True)
class Measurement:
    """One scenario of one contender in one round; CPU is in milliseconds for each request."""

    round: int
    contender: str
    scenario: str
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    front_cpu_ms: float
    service_cpu_ms: float
    broker_cpu_ms: float
    database_cpu_ms: float

    @property
    def cpu_ms(self) -> float:
        """That of all four."""
        return self.front_cpu_ms + self.service_cpu_ms + self.broker_cpu_ms + self.database_cpu_ms


@dataclass(frozen=True)
class Crowd:
    """Our system under more clients in one round; the usual number of them is in `Measurement`."""

    round: int
    connections: int
    scenario: str
    requests_per_second: float
    p99_ms: float
    failures: int


@dataclass(frozen=True)
class Echo:
    """The raw limit in one round; CPU is in milliseconds for each message there and back."""

    round: int
    messages_per_second: float
    caller_cpu_ms: float
    server_cpu_ms: float
    broker_cpu_ms: float


@dataclass(frozen=True)
class Bulk:
    """Creates straight to the queue in one round; CPU is in milliseconds for each."""

    round: int
    load: str
    creates_per_second: float
    service_cpu_ms: float
    broker_cpu_ms: float
    database_cpu_ms: float

    @property
    def cpu_ms(self) -> float:
        """That of all three."""
        return self.service_cpu_ms + self.broker_cpu_ms + self.database_cpu_ms


@dataclass(frozen=True)
class Telemetry:
    """What a message costs a worker while no one looks, in microseconds of CPU; metrics come on top of the line."""

    trace: float
    line: float
    line_and_metrics: float


@dataclass(frozen=True)
class Import:
    """A file of products, imported by `bus catalog import` in one round, its start included."""

    round: int
    products_per_second: float


@dataclass(frozen=True)
class ListCost:
    """A read of a catalog with so many products, on one kind of database: CPU of the handler and of the database."""

    database: str
    products: int
    read: str
    cpu_ms: float


@dataclass(frozen=True)
class Accounts:
    """Passwords in one round: hashes alone on all cores, then log-ins and registrations over HTTP, in each second.

    CPU is in milliseconds for one of each, in all our processes, the broker and the database.
    """

    round: int
    hashes: float
    log_ins: float
    registrations: float
    hash_cpu_ms: float
    log_in_cpu_ms: float
    registration_cpu_ms: float
    failures: int


@dataclass(frozen=True)
class Guard:
    """Creates in one round, where everyone may write and where a token is needed; in each second."""

    round: int
    open_creates: float
    guarded_creates: float
    failures: int


@dataclass(frozen=True)
class Usage:
    """What one of our processes has used: at its most, and while nothing was to be done."""

    name: str
    peak_megabytes: list[float]
    idle_percent: float


@dataclass
class Figures:
    """A whole run. `about` says on what it was made, `missing_peers` why those peers are not in it."""

    about: str
    missing_peers: dict[str, str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)
    echoes: list[Echo] = field(default_factory=list)
    telemetry: Telemetry | None = None
    bulks: list[Bulk] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    lists: list[ListCost] = field(default_factory=list)
    accounts: list[Accounts] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """How many requests of all failed."""
        return sum(one.failures for one in (*self.measurements, *self.crowds, *self.accounts, *self.guards))
