"""The report: tables for people, JSON for everything else."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from statistics import median

from bench.figures import SCENARIOS, Bulk, Figures, ListCost, Measurement, Telemetry
from bench.names import ERRAND, FIRST_PAGE, GET, ONE_BY_ONE, PEERS, REFUSED, REPEATED, SEEN, TUTORIAL

# What we aim at against the tutorial: requests per second at least, and p99 at most, of its own.
FASTER = {"create": 3.0, "get": 4.0}
P99_SHARE = 1 / 3
# The same for each peer.
FASTER_THAN_PEER = 4.0
# What is left of our own req/s with everything seen, and with 256 clients instead of the usual number.
SEEN_SHARE, CROWD_SHARE, CROWD = 0.8, 0.9, 256
# What a read costs with the most products, of its cost with the fewest, or of the first page's.
FLAT, LIST_FACTOR = 1.2, 3.0
# Of the hashes that the cores can do: log-ins and registrations; of the creates without a guard: those with one.
PASSWORDS_SHARE, GUARDED_SHARE = 0.9, 0.9
# Creates a second straight to the queue, for one worker process; and what is left of them where some are odd.
BULK_PER_SECOND, ODD_SHARE = 3000, 0.9
# What trace, log line and metrics of a message may cost, in microseconds.
TELEMETRY_US = 30

Value = Callable[[Measurement], float]

COLUMNS: tuple[tuple[str, str, Value], ...] = (
    ("req/s", "{:.0f}", lambda one: one.requests_per_second),
    ("p50 ms", "{:.1f}", lambda one: one.p50_ms),
    ("p99 ms", "{:.1f}", lambda one: one.p99_ms),
    ("CPU ms: front", "{:.2f}", lambda one: one.front_cpu_ms),
    ("+ service", "{:.2f}", lambda one: one.service_cpu_ms),
    ("broker", "{:.2f}", lambda one: one.broker_cpu_ms),
    ("+ database", "{:.2f}", lambda one: one.database_cpu_ms),
)


def text_of(figures: Figures) -> str:
    """All tables."""
    parts = [figures.about, *(text_of_scenario(figures, scenario) for scenario in SCENARIOS)]
    parts += [
        _crowds(figures),
        text_of_bulks(figures.bulks),
        _import(figures),
        _accounts(figures),
        _guard(figures),
        _echo(figures),
    ]
    parts += [text_of_lists(figures.lists), _usage(figures)]
    if figures.telemetry is not None:
        parts.append(_telemetry(figures.telemetry))
    parts += [_peers(figures), _failures(figures)]
    return "\n\n".join(filter(None, parts))


def text_of_lists(costs: Sequence[ListCost]) -> str:
    """A table for each database."""
    kinds = dict.fromkeys(one.database for one in costs)
    return "\n\n".join(_lists(kind, [one for one in costs if one.database == kind]) for kind in kinds)


def json_of(figures: Figures) -> str:
    """The figures of every round, and the ratios drawn from them."""
    ratios = {
        scenario: {rival: _ratios(figures, scenario, rival) for rival in _contenders(figures)[1:]}
        for scenario in SCENARIOS
    }
    return json.dumps({**asdict(figures), "ratios": ratios}, indent=2) + "\n"


def text_of_scenario(figures: Figures, scenario: str) -> str:
    """The table of all contenders, and what is aimed at."""
    rows = [[scenario, *(title for title, _, _ in COLUMNS)]]
    for name in _contenders(figures):
        measured = _of(figures, scenario, name)
        rows.append([name, *(form.format(median(map(value, measured))) for _, form, value in COLUMNS)])
    return "\n".join([_table(rows), *_comparisons(figures, scenario)])


def _comparisons(figures: Figures, scenario: str) -> Iterable[str]:
    for rival in _contenders(figures)[1:]:
        ratios = _ratios(figures, scenario, rival)
        yield (
            f"against {rival}: {ratios['requests']:.2f} times the req/s, {ratios['p99']:.2f} times the p99, "
            f"{ratios['cpu']:.2f} times the CPU"
        )
    aims = _ratios(figures, scenario, TUTORIAL)
    faster = FASTER[scenario]
    yield f"target: at least {faster:g} times the tutorial's req/s: {_verdict(aims['requests'] >= faster)}"
    yield f"target: at most {P99_SHARE:.2f} times the tutorial's p99: {_verdict(aims['p99'] <= P99_SHARE)}"
    seen = 1 / _ratios(figures, scenario, SEEN)["requests"]
    verdict = _verdict(seen >= SEEN_SHARE)
    yield f"target: at least {SEEN_SHARE:g} of the req/s with everything seen: {seen:.2f}, {verdict}"
    for name in _contenders(figures):
        if name in PEERS:
            verdict = _verdict(_ratios(figures, scenario, name)["requests"] >= FASTER_THAN_PEER)
            yield f"target: at least {FASTER_THAN_PEER:g} times the req/s of {name}: {verdict}"


def _contenders(figures: Figures) -> list[str]:
    """Ours first."""
    return list(dict.fromkeys(one.contender for one in figures.measurements))


def _peers(figures: Figures) -> str:
    """What they leave out, and which of them could not be measured."""
    lines = [f"{name} is left out, it cannot be installed: {reason}" for name, reason in figures.missing_peers.items()]
    if measured := [name for name in _contenders(figures) if name in PEERS]:
        does = "write no inbox and no events, and store no replies: a request that comes again takes effect again"
        lines.insert(0, f"{', '.join(measured)}: they {does}")
    return "\n".join(lines)


def _ratios(figures: Figures, scenario: str, rival: str) -> dict[str, float]:
    """Ours to theirs, round by round, since neighbours in time had the same machine; the medians of it."""
    pairs = list(zip(_of(figures, scenario, ERRAND), _of(figures, scenario, rival), strict=True))
    return {
        "requests": median(ours.requests_per_second / theirs.requests_per_second for ours, theirs in pairs),
        "p99": median(ours.p99_ms / theirs.p99_ms for ours, theirs in pairs),
        "cpu": median(ours.cpu_ms / theirs.cpu_ms for ours, theirs in pairs),
    }


def _of(figures: Figures, scenario: str, name: str) -> list[Measurement]:
    return [one for one in figures.measurements if (one.scenario, one.contender) == (scenario, name)]


def _verdict(met: bool) -> str:
    return "met" if met else "not met"


def _crowds(figures: Figures) -> str:
    rows = [["errand, clients", "create/s", "p99 ms", "failed", "get/s", "p99 ms", "failed"]]
    for connections in sorted({one.connections for one in figures.crowds}):
        row = [str(connections)]
        for scenario in SCENARIOS:
            ours = [one for one in figures.crowds if (one.connections, one.scenario) == (connections, scenario)]
            row += [
                f"{median(one.requests_per_second for one in ours):.0f}",
                f"{median(one.p99_ms for one in ours):.0f}",
            ]
            row.append(str(sum(one.failures for one in ours)))
        rows.append(row)
    lines = [_table(rows)]
    for scenario in SCENARIOS:
        pairs = zip(
            [one for one in figures.crowds if (one.connections, one.scenario) == (CROWD, scenario)],
            _of(figures, scenario, ERRAND),
            strict=True,
        )
        share = median(crowd.requests_per_second / usual.requests_per_second for crowd, usual in pairs)
        verdict = _verdict(share >= CROWD_SHARE)
        lines.append(
            f"target: {scenario} with {CROWD} clients at least {CROWD_SHARE:g} of the usual: {share:.2f}, {verdict}"
        )
    return "\n".join(lines)


def text_of_bulks(bulks: Sequence[Bulk]) -> str:
    """The table of all loads, and what the odd ones cost."""
    rows = [["creates straight to one worker", "creates/s", "CPU ms: worker", "broker", "database", "target"]]
    for load in dict.fromkeys(bulk.load for bulk in bulks):
        of_load = [bulk for bulk in bulks if bulk.load == load]
        speed = median(bulk.creates_per_second for bulk in of_load)
        parts = ("service_cpu_ms", "broker_cpu_ms", "database_cpu_ms")
        costs = [f"{median(getattr(bulk, part) for bulk in of_load):.3f}" for part in parts]
        rows.append([load, f"{speed:.0f}", *costs, _verdict(speed >= BULK_PER_SECOND)])
    return "\n".join([_table(rows), *(_odd(bulks, load) for load in (REPEATED, REFUSED))])


def _odd(bulks: Sequence[Bulk], load: str) -> str:
    """What is left of the usual rate, and what a create costs of the usual CPU: round by round, the medians of it."""
    usual, odd = ([one for one in bulks if one.load == name] for name in (ONE_BY_ONE, load))
    pairs = list(zip(odd, usual, strict=True))
    share = median(one.creates_per_second / other.creates_per_second for one, other in pairs)
    cpu = median(one.cpu_ms / other.cpu_ms for one, other in pairs)
    verdict = _verdict(share >= ODD_SHARE)
    return f"target: {load}, at least {ODD_SHARE:g} of the rate: {share:.2f}, {verdict} ({cpu:.2f} times the CPU)"


def _telemetry(cost: Telemetry) -> str:
    whole = cost.trace + cost.line_and_metrics
    metrics = cost.line_and_metrics - cost.line
    return (
        f"a message in a worker, CPU µs: trace {cost.trace:.1f}, log line {cost.line:.1f}, metrics {metrics:.1f}\n"
        f"target: at most {TELEMETRY_US} together: {whole:.1f}, {_verdict(whole <= TELEMETRY_US)}"
    )


def _import(figures: Figures) -> str:
    speed = median(one.products_per_second for one in figures.imports)
    return f"bus catalog import, a CSV file to one worker process: {speed:.0f} products/s"


def _lists(kind: str, costs: Sequence[ListCost]) -> str:
    ms = {(one.read, one.products): one.cpu_ms for one in costs}
    counts = sorted({one.products for one in costs})
    fewest, most = counts[0], counts[-1]
    rows = [[f"{kind}, CPU ms with products", *map(str, counts), "to fewest", "to first page", "target"]]
    for read in dict.fromkeys(one.read for one in costs):
        growth, factor = ms[read, most] / ms[read, fewest], ms[read, most] / ms[FIRST_PAGE, most]
        met = growth <= FLAT if read in (GET, FIRST_PAGE) else factor <= LIST_FACTOR
        figures = [f"{ms[read, count]:.2f}" for count in counts]
        rows.append([read, *figures, f"{growth:.2f}", f"{factor:.2f}", _verdict(met)])
    return _table(rows)


def _accounts(figures: Figures) -> str:
    hashes, cpu = (median(getattr(one, name) for one in figures.accounts) for name in ("hashes", "hash_cpu_ms"))
    lines = [f"hashes of passwords on all cores: {hashes:.1f}/s, CPU ms {cpu:.1f}"]
    for words, rate, used in (
        ("log-ins", "log_ins", "log_in_cpu_ms"),
        ("registrations", "registrations", "registration_cpu_ms"),
    ):
        speed, cpu = (median(getattr(one, name) for one in figures.accounts) for name in (rate, used))
        share = median(getattr(one, rate) / one.hashes for one in figures.accounts)
        lines.append(f"{words}: {speed:.1f}/s, CPU ms {cpu:.1f}")
        verdict = _verdict(share >= PASSWORDS_SHARE)
        lines.append(f"target: at least {PASSWORDS_SHARE:g} times as many as hashes: {share:.2f}, {verdict}")
    return "\n".join(lines)


def _guard(figures: Figures) -> str:
    share = median(one.guarded_creates / one.open_creates for one in figures.guards)
    speed = median(one.guarded_creates for one in figures.guards)
    return (
        f"creates that need a token: {speed:.0f}/s\n"
        f"target: at least {GUARDED_SHARE:g} of those without: {share:.2f}, {_verdict(share >= GUARDED_SHARE)}"
    )


def _echo(figures: Figures) -> str:
    speed = median(echo.messages_per_second for echo in figures.echoes)
    sides = median(echo.caller_cpu_ms + echo.server_cpu_ms for echo in figures.echoes)
    broker = median(echo.broker_cpu_ms for echo in figures.echoes)
    return (
        f"the raw limit, an echo over the same broker: {speed:.0f} messages/s there and back, "
        f"CPU ms {sides:.2f} both sides + {broker:.2f} broker"
    )


def _usage(figures: Figures) -> str:
    rows = [["our processes", "peak memory MB", "idle CPU %"]]
    for usage in figures.usages:
        peaks = " + ".join(f"{peak:.0f}" for peak in usage.peak_megabytes)
        rows.append([usage.name, peaks, f"{usage.idle_percent:.2f}"])
    return _table(rows)


def _failures(figures: Figures) -> str:
    failed = (one for one in figures.measurements if one.failures)
    lines = (f"{one.contender}, {one.scenario}, round {one.round}: {one.failures} failed requests" for one in failed)
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)
