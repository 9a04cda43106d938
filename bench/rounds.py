"""Rounds: the contenders one after the other, again and again, so that a busy moment meets them all."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.accounts import guard, guarded, passwords
from bench.bulk import LOADS, bulk
from bench.contender import PRODUCTS, REPOSITORY, Contender, python, started
from bench.cpu import cpu_seconds
from bench.errand import errand, errand_seen
from bench.figures import SCENARIOS, Crowd, Echo, Figures, Measurement, Telemetry, Usage
from bench.imports import import_file
from bench.lists import lists
from bench.memory import peak_megabytes
from bench.names import ERRAND, KEEP_ALIVE, SEEN, TUTORIAL
from bench.peers.environment import NotInstallable
from bench.peers.system import peer
from bench.servers import Servers, servers
from bench.tutorial.system import tutorial
from bench.wrk import load
from bus.testing.servers.processes import Process
from bus.testing.servers.progress import report

WARM_UP_SECONDS = 2
# After the last request: connections close, caches empty. Then the idle time itself.
CALM_SECONDS = 3
IDLE_SECONDS = 10
# Clients at the same time, beside the usual number of them.
CROWDS = (256, 1000)
# The echo's caller ends by itself; this is for one that does not.
PATIENCE_SECONDS = 30


def run(
    wrk: str, folder: Path, rounds: int, seconds: int, products: Sequence[int], peers: Sequence[str] = ()
) -> Figures:
    """Start everything, measure, end everything; lists have so many `products`. Raises ProvisioningFailed.

    A peer that cannot be installed is left out.
    """
    with servers() as both, ExitStack() as running:
        figures = Figures(_about(both, rounds, seconds))
        bus_url = both.broker.fresh_vhost()
        ours = running.enter_context(errand(ERRAND, "catalog", bus_url, both, folder))
        contenders = [
            ours,
            running.enter_context(errand_seen(SEEN, both.broker.fresh_vhost(), both, folder / "seen")),
            running.enter_context(tutorial(TUTORIAL, both, folder, keep_alive=False)),
            running.enter_context(tutorial(KEEP_ALIVE, both, folder, keep_alive=True)),
        ]
        for name in peers:
            try:
                contenders.append(running.enter_context(peer(name, both, folder)))
            except NotInstallable as reason:
                figures.missing_peers[name] = str(reason)
        echo = running.enter_context(started(python("echo", folder, {}, "bench.echo", "serve", bus_url)))
        _warm_up(wrk, contenders)
        for number in range(1, rounds + 1):
            report(f"round {number} of {rounds}")
            figures.measurements += _round(wrk, contenders, both, number, seconds)
            figures.crowds += _crowds(wrk, ours, number, seconds)
            figures.echoes.append(_echo(echo, bus_url, both, number, seconds))
            for one in LOADS:
                figures.bulks.append(bulk(both, folder / f"bulk-{number}-{LOADS.index(one)}", one, number))
            figures.imports.append(import_file(both, folder / f"import-{number}", number))
        figures.telemetry = _telemetry()
        figures.lists += lists(both.database, folder, products)
        system = running.enter_context(guarded(both, folder / "guarded"))
        for number in range(1, rounds + 1):
            report(f"accounts, round {number} of {rounds}")
            figures.accounts.append(passwords(wrk, system, both, number))
            figures.guards.append(guard(wrk, system, ours, number, seconds))
        figures.usages = _usages([ours.front, ours.service, system.auth.front, system.auth.service])
    return figures


def _about(both: Servers, rounds: int, seconds: int) -> str:
    machine = f"Python {platform.python_version()}, {os.cpu_count()} CPUs"
    return f"{both.versions}, {machine}; {rounds} rounds of {seconds} s each"


def _warm_up(wrk: str, contenders: Sequence[Contender]) -> None:
    for contender in contenders:
        report(f"warming up: {contender.name}")
        contender.fill()
        for scenario in SCENARIOS:
            load(wrk, contender.url, scenario, WARM_UP_SECONDS, "warm-up", PRODUCTS)


def _round(wrk: str, contenders: Sequence[Contender], both: Servers, number: int, seconds: int) -> list[Measurement]:
    return [
        _measured(wrk, contender, both, scenario, number, seconds) for scenario in SCENARIOS for contender in contenders
    ]


def _crowds(wrk: str, ours: Contender, number: int, seconds: int) -> list[Crowd]:
    seen = [
        (
            connections,
            scenario,
            load(wrk, ours.url, scenario, seconds, f"{number}-{connections}", PRODUCTS, connections),
        )
        for connections in CROWDS
        for scenario in SCENARIOS
    ]
    return [
        Crowd(number, connections, scenario, one.requests / one.seconds, one.p99_ms, one.failures)
        for connections, scenario, one in seen
    ]


def _measured(wrk: str, contender: Contender, both: Servers, scenario: str, number: int, seconds: int) -> Measurement:
    parts = (contender.front, contender.service, both.broker, both.database)
    before = [cpu_seconds(part.pids()) for part in parts]
    seen = load(wrk, contender.url, scenario, seconds, str(number), PRODUCTS)
    after = [cpu_seconds(part.pids()) for part in parts]
    requests = max(1, seen.requests)
    cpu_ms = [1000 * (late - early) / requests for early, late in zip(before, after, strict=True)]
    return Measurement(
        number, contender.name, scenario, seen.requests / seen.seconds, seen.p50_ms, seen.p99_ms, seen.failures, *cpu_ms
    )


def _echo(server: Process, bus_url: str, both: Servers, number: int, seconds: int) -> Echo:
    before = [cpu_seconds(part.pids()) for part in (server, both.broker)]
    finished = subprocess.run(
        [sys.executable, "-m", "bench.echo", "call", bus_url, str(seconds)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + PATIENCE_SECONDS,
    )
    after = [cpu_seconds(part.pids()) for part in (server, both.broker)]
    seen = json.loads(finished.stdout)
    used = [seen["cpu_seconds"], *(late - early for early, late in zip(before, after, strict=True))]
    return Echo(number, seen["messages"] / seen["seconds"], *(1000 * each / seen["messages"] for each in used))


def _telemetry() -> Telemetry:
    finished = subprocess.run(
        [sys.executable, "-m", "bench.telemetry"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    return Telemetry(*map(float, finished.stdout.split()))


def _usages(processes: Sequence[Process]) -> list[Usage]:
    report("measuring the idle system")
    time.sleep(CALM_SECONDS)
    before = [cpu_seconds(process.pids()) for process in processes]
    time.sleep(IDLE_SECONDS)
    after = [cpu_seconds(process.pids()) for process in processes]
    return [
        Usage(process.name, _peaks(process), 100 * (late - early) / IDLE_SECONDS)
        for process, early, late in zip(processes, before, after, strict=True)
    ]


def _peaks(process: Process) -> list[float]:
    return [peak for pid in process.pids() if (peak := peak_megabytes(pid)) is not None]
