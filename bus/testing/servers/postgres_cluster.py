"""A private PostgreSQL server, started from the installed programs."""

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals
from types import MappingProxyType

from bus.testing.servers.errors import ProvisioningFailed, ServerExited
from bus.testing.servers.ports import free_ports
from bus.testing.servers.processes import Process

DEBIAN_VERSIONS = Path("/usr/lib/postgresql")

# PostgreSQL refuses to run as root; one of these users exists on every machine.
UNPRIVILEGED_USERS = ("postgres", "nobody")

USER = "bus"

# It writes forty megabytes, in a second on an idle machine; the rest is for a busy one.
INITDB_SECONDS = 120.0

# It takes milliseconds; the rest is for a busy machine.
PG_CONFIG_SECONDS = 30.0

# The same sort order on all machines, and UTF-8 as everywhere else.
LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"


def find_programs() -> Path | None:
    """Return the folder with `initdb` and `postgres`: from the PATH, else the newest version; None if not installed."""
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


class Cluster:
    """A server with its own data, on 127.0.0.1 only; every user of this machine may log in as `bus`.

    `settings` are further parameters of the server, by their names. Paths in them are relative to the folder `data`.
    """

    def __init__(self, programs: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bus-postgres-"))
        self._owner = _unprivileged_owner() if os.geteuid() == 0 else None
        if self._owner is not None:
            os.chown(self._folder, *self._owner)
        [self.port] = free_ports(1)
        self._initdb(programs / "initdb")
        self._server = self._process(
            "postgres",
            str(programs / "postgres"),
            *("-D", str(self._data), "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *(f"--{name}={value}" for name, value in settings.items()),
        )

    @property
    def folder(self) -> Path:
        return self._folder

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.kill()

    def stop(self, signal: Signals = SIGINT) -> None:
        self._server.stop(signal)

    def pids(self) -> list[int]:
        return self._server.pids()

    def run(self, *command: str) -> str:
        raise NotImplementedError("use SQL: no commands are run beside a PostgreSQL server")

    def check(self) -> None:
        self._server.check()

    def close(self) -> None:
        """End it with SIGQUIT: immediate, and still frees its shared memory."""
        self._server.stop(SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _initdb(self, program: Path) -> None:
        arguments = ("-U", USER, "--auth=trust", "--encoding=UTF8", f"--locale={LOCALE}", "--no-sync")
        initdb = self._process("initdb", str(program), "-D", str(self._data), *arguments)
        try:
            initdb.finish(INITDB_SECONDS)
        except ServerExited as failure:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ProvisioningFailed(str(failure)) from failure

    def _process(self, name: str, *command: str) -> Process:
        # The caller's PG* variables point to another database.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment |= {"HOME": str(self._folder)}
        user, group = self._owner or (None, None)
        return Process(name, command, self._folder, environment, user, group, last_signal=SIGQUIT)


def _candidates() -> list[Path]:
    folders = [Path(found).parent for found in (shutil.which("initdb"), shutil.which("postgres")) if found]
    folders += sorted(DEBIAN_VERSIONS.glob("*/bin"), key=_version, reverse=True)
    if pg_config := shutil.which("pg_config"):
        folders.append(
            Path(subprocess.check_output([pg_config, "--bindir"], text=True, timeout=PG_CONFIG_SECONDS).strip())
        )
    return folders


def _version(folder: Path) -> int:
    digits = re.match(r"\d+", folder.parent.name)
    return int(digits[0]) if digits else 0


def _unprivileged_owner() -> tuple[int, int]:
    """Return the user and group to run PostgreSQL as when we are root. Raises ProvisioningFailed."""
    for name in UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ProvisioningFailed("PostgreSQL does not run as root, and this machine has no user `nobody`")
