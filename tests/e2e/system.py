"""A system started the way its users start it: `bus run` as a process."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import requests

from bus.testing.ports import free_ports
from bus.testing.waiting import wait_until

START_SECONDS = 60
STOP_SECONDS = 40


class System:
    """`bus run` in a folder of its own. `auth` and `catalog` are the front ends' URLs."""

    def __init__(self, folder: Path, **environment: str) -> None:
        auth_port, catalog_port = free_ports(2)
        self.auth, self.catalog = f"http://127.0.0.1:{auth_port}", f"http://127.0.0.1:{catalog_port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("BUS_", "AUTH_", "CATALOG_"))},
            "AUTH_PORT": str(auth_port),
            "CATALOG_PORT": str(catalog_port),
            "DATA_DIR": str(folder / "data"),
            **environment,
        }
        self.output: list[str] = []
        self.process = self.bus("run")
        threading.Thread(target=self._read, daemon=True).start()

    def bus(self, *command: str) -> subprocess.Popen[str]:
        """Start another `bus` command in the same environment."""
        return subprocess.Popen(
            [sys.executable, "-m", "bus", *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        """Run another `bus` command to its end; its exit code and all it printed."""
        process = self.bus(*command)
        output, _ = process.communicate(timeout=START_SECONDS)
        return process.returncode, output

    def wait_until_started(self) -> "System":
        """Return when the banner is out."""
        wait_until(
            lambda: "Ctrl-C stops it." in self.output or self.process.poll() is not None, START_SECONDS, "bus run"
        )
        assert self.process.poll() is None, self.printed()
        return self

    def printed(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.output)

    def create(self, name: str = "Lamp") -> requests.Response:
        """Create a product over HTTP."""
        product = {"name": name, "price": 9.90, "quantity": 3}
        return requests.post(f"{self.catalog}/products", json=product, timeout=10)

    def names(self) -> list[str]:
        """The names of all products, over HTTP."""
        answer = requests.get(f"{self.catalog}/products?limit=500", timeout=10)
        return [product["name"] for product in answer.json()["products"]]

    def interrupt(self) -> int:
        """What Ctrl-C does; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it at once, should it still run."""
        if self.process.poll() is None:
            self.interrupt()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))
