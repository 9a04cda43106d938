"""The system in one process, with messages in its memory and products in SQLite."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from faults.census import Census
from faults.member import FrontEnd

READY_SECONDS = 30.0
# Mounts a disk of its own where only it and its children see it, and becomes the system.
ON_A_DISK = 'mount -t tmpfs -o size="$0"m errand "$DATA_DIR" && exec "$@"'


@dataclass(frozen=True)
class EmbeddedSystem:
    """`front` is its one process, `database` the file of its products."""

    front: FrontEnd
    database: Path

    def census(self) -> Census:
        """The products. Of a copy: SQLite would look for the file on the disk that we see, and not the process."""
        with tempfile.TemporaryDirectory(prefix="bus-faults-") as folder:
            for ending in ("", "-wal"):
                source = self.database.with_name(f"{self.database.name}{ending}")
                if source.exists():
                    shutil.copyfile(source, Path(folder) / source.name)
            return Census(f"sqlite:///{folder}/{self.database.name}")


@contextmanager
def embedded_system(disk_megabytes: int | None = None) -> Iterator[EmbeddedSystem]:
    """A catalog that is ready; with `disk_megabytes`, its data are on a disk of that size (Linux only)."""
    with tempfile.TemporaryDirectory(prefix="bus-faults-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        [port] = free_ports(1)
        wrapper = () if disk_megabytes is None else ("unshare", "-Urm", "sh", "-c", ON_A_DISK, str(disk_megabytes))
        front = embedded_member("embedded", Path(folder), port, wrapper, DATA_DIR=str(data))
        try:
            front.start()
            wait_until(front.is_ready, READY_SECONDS, "the system is ready")
            root = Path("/") if disk_megabytes is None else Path(f"/proc/{front.processes()[0].pid}/root")
            yield EmbeddedSystem(front, root / data.relative_to("/") / "catalog.db")
        finally:
            front.end()


def embedded_member(name: str, folder: Path, port: int, wrapper: tuple[str, ...] = (), **environment: str) -> FrontEnd:
    """The process, not started yet. `wrapper` is a command that runs it."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUS_", "AUTH_", "CATALOG_"))}
    settings = {"CATALOG_PORT": str(port), "DATA_DIR": str(folder), "SEED": "0", **environment}
    command = (*wrapper, sys.executable, "-m", "bus.cli", "run", "catalog")
    member = FrontEnd(name, folder, inherited | settings, *command)
    member.url = f"http://127.0.0.1:{port}"
    return member
