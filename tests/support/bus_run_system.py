"""`bus run` as a process, the way users start the system."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until

START_SECONDS = 90
STOP_SECONDS = 60
# How long front ends are asked to wait for a reply, the longest they allow; and how long we wait for their answer.
PREFERRED_SECONDS = 30
ANSWER_SECONDS = 60


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
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def bus(self, *command: str) -> subprocess.Popen[str]:
        """Start another `bus` command in the same environment."""
        return subprocess.Popen(
            [sys.executable, "-m", "bus.cli", *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        """Run another `bus` command to its end; return its exit code and output."""
        process = self.bus(*command)
        output, _ = process.communicate(timeout=START_SECONDS)
        return process.returncode, output

    def call(self, *arguments: str) -> tuple[int, str]:
        """Run `bus call` until there is a reply or a refusal; repeats it while no worker runs and nothing was sent."""
        results: list[tuple[int, str]] = []

        def is_answered() -> bool:
            results.append(self.run("call", *arguments, "--timeout", str(PREFERRED_SECONDS)))
            return "no-worker" not in results[-1][1]

        wait_until(is_answered, START_SECONDS, f"an answer to {arguments[0]}")
        return results[-1]

    def wait_until_started(self) -> "System":
        """Return when the banner has been printed."""
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
        return post(f"{self.catalog}/products", {"name": name, "price": 9.90, "quantity": 3})

    def names(self) -> list[str]:
        """The names of all products, over HTTP."""
        return [product["name"] for product in get(f"{self.catalog}/products?limit=500").json()["products"]]

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl-C does; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait(STOP_SECONDS)

    def wait(self, seconds: float) -> int:
        """Wait until it has ended and all its output has been read; return the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(STOP_SECONDS)
        return code

    def kill(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.interrupt()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))


def post(url: str, body: dict[str, Any]) -> requests.Response:
    """Send a command as a careful program does: with an idempotency key, and again until there is an answer."""
    return _answered("POST", url, body, {"Idempotency-Key": uuid.uuid4().hex})


def get(url: str) -> requests.Response:
    """Send a query, and again while no worker answers: on a busy machine a worker may look absent for a moment."""
    return _answered("GET", url, None, {})


def _answered(method: str, url: str, body: dict[str, Any] | None, headers: dict[str, str]) -> requests.Response:
    answers: list[requests.Response] = []
    headers |= {"Prefer": f"wait={PREFERRED_SECONDS}"}

    def is_answer() -> bool:
        answers.append(requests.request(method, url, json=body, headers=headers, timeout=ANSWER_SECONDS))
        return answers[-1].status_code not in (202, 503, 504)

    wait_until(is_answer, START_SECONDS, f"an answer to {method} {url}")
    return answers[-1]


# Starts a system with these settings.
Start = Callable[..., System]
