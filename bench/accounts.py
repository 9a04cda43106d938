"""Accounts: log-ins and registrations beside the raw rate of their hashes, and what the guard of writes costs."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.contender import FIRST_ANSWER_SECONDS, PRODUCTS, REPOSITORY, START_SECONDS, Contender, python
from bench.cpu import cpu_seconds
from bench.errand import QUIET, errand
from bench.figures import Accounts, Guard
from bench.servers import Servers
from bench.wrk import Load, load
from bus.testing.waiting import wait_until

# Of a run, to log in with: few, so that they are there before the first round.
ACCOUNTS = 20
ROUND_SECONDS = 4
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Guarded:
    """auth, and a catalog whose writes need a token; both on one broker."""

    auth: Contender
    catalog: Contender
    token: str


@contextmanager
def guarded(servers: Servers, folder: Path) -> Iterator[Guarded]:
    """Start both, with accounts to log in with and an access token that may write."""
    url = servers.broker.fresh_vhost()
    folder.mkdir()
    settings = {**QUIET, "AUTH_ACCESS_TOKEN_MINUTES": "60"}
    closed = {**QUIET, "CATALOG_OPEN": "0"}
    with (
        errand("auth", "auth", url, servers, folder, settings) as auth,
        errand("guarded", "catalog", url, servers, folder, closed) as catalog,
    ):
        for number in range(1, ACCOUNTS + 1):
            account = {"username": f"ann-known-{number}", "email": f"ann-{number}@example.org", "password": PASSWORD}
            wait_until(partial(_answer, f"{auth.url}/register", account), START_SECONDS, "auth works")
        _grant(auth, folder)
        login = {"login": "ann-known-1", "password": PASSWORD}
        token = str(_answer(f"{auth.url}/login", login)["access_token"])
        product = {"name": "Shelf", "price": 19.9, "quantity": 7}
        wait_until(partial(_answer, f"{catalog.url}/products", product, token), START_SECONDS, "the catalog works")
        yield Guarded(auth, catalog, token)


def passwords(wrk: str, system: Guarded, servers: Servers, number: int) -> Accounts:
    """Measure once, one after the other."""
    printed = subprocess.run(
        [sys.executable, "-m", "bench.hashes", str(ROUND_SECONDS)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
        timeout=ROUND_SECONDS + START_SECONDS,
    ).stdout
    hashes, hash_cpu_ms = map(float, printed.split())
    log_ins, log_in_cpu_ms = _loaded(wrk, system, servers, "log_in", "known")
    made, registration_cpu_ms = _loaded(wrk, system, servers, "register", f"{number}-{time.time_ns()}")
    return Accounts(
        number,
        hashes,
        log_ins.requests / log_ins.seconds,
        made.requests / made.seconds,
        hash_cpu_ms,
        log_in_cpu_ms,
        registration_cpu_ms,
        log_ins.failures + made.failures,
    )


def _loaded(wrk: str, system: Guarded, servers: Servers, scenario: str, mark: str) -> tuple[Load, float]:
    """What wrk saw, and the CPU milliseconds of one request."""
    parts = (system.auth.front, system.auth.service, servers.broker, servers.database)
    before = sum(cpu_seconds(part.pids()) for part in parts)
    seen = load(wrk, system.auth.url, scenario, ROUND_SECONDS, mark, ACCOUNTS)
    used = sum(cpu_seconds(part.pids()) for part in parts) - before
    return seen, 1000 * used / max(1, seen.requests)


def guard(wrk: str, system: Guarded, ours: Contender, number: int, seconds: int) -> Guard:
    """Measure once: the open catalog, then the guarded one."""
    opened = load(wrk, ours.url, "create", seconds, f"open-{number}", PRODUCTS)
    closed = load(wrk, system.catalog.url, "create", seconds, f"guarded-{number}", PRODUCTS, token=system.token)
    return Guard(
        number, opened.requests / opened.seconds, closed.requests / closed.seconds, opened.failures + closed.failures
    )


def _grant(auth: Contender, folder: Path) -> None:
    command = ("bus.cli", "auth", "grant", "ann-known-1", "catalog:write")
    python("grant", folder, auth.service.environment, *command).finish(START_SECONDS)


def _answer(url: str, body: dict[str, object], token: str = "") -> dict[str, object]:
    """The answer to a request; empty while nothing works."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=FIRST_ANSWER_SECONDS) as answer:
            return dict(json.load(answer))
    except (urllib.error.URLError, OSError):
        return {}
