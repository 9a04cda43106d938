"""A server in a Docker container, started through testcontainers."""

import contextlib
from signal import Signals
from typing import TYPE_CHECKING, NoReturn

from bus.testing.servers.errors import LOG_LINES_SHOWN, NotControllable, ProvisioningFailed, ServerExited
from bus.testing.servers.progress import report

if TYPE_CHECKING:  # testcontainers is only needed to start a container
    from testcontainers.core.container import DockerContainer

# The engine is on this machine; a socket without an engine behind it must not hold up a test run.
ENGINE_SECONDS = 5

# A clean stop takes 1 to 3 s; a broker with much to write takes longer.
STOP_SECONDS = 30

# A command in a container takes half a second on an idle machine, several on a busy one.
RUN_SECONDS = 60


def check_engine() -> None:
    """Raise ProvisioningFailed when no Docker engine answers, or testcontainers is not installed."""
    try:
        from docker.errors import DockerException  # type: ignore[import-untyped,unused-ignore]
        from testcontainers.core.docker_client import DockerClient
    except ImportError as missing:
        raise ProvisioningFailed(f"the package {missing.name} is not installed") from missing
    try:
        engine = DockerClient(timeout=ENGINE_SECONDS).client
        engine.ping()
        engine.close()
    except (DockerException, OSError) as failure:
        raise ProvisioningFailed("no Docker engine answers") from failure


class Container:
    """A running container with fixed ports: without them Docker would choose other ports at a restart."""

    def __init__(self, container: "DockerContainer") -> None:
        """Start it. Reports and raises ProvisioningFailed when the engine cannot (no image, registry or space)."""
        from docker.errors import DockerException

        self._container = container
        try:
            container.start()
        except (DockerException, TimeoutError) as failure:
            self.close()
            report(f"no container of {container.image}: {failure}")
            raise ProvisioningFailed(f"no container of {container.image}") from failure
        except BaseException:
            self.close()
            raise

    @property
    def host(self) -> str:
        """The host name or address of its ports."""
        return self._container.get_container_host_ip()

    @property
    def folder(self) -> NoReturn:
        raise NotControllable("its files are inside the container")

    def start(self) -> None:
        self._container.get_wrapped_container().start()

    def kill(self) -> None:
        self._end(Signals.SIGKILL)

    def stop(self, signal: Signals) -> None:
        self._end(signal)

    def pids(self) -> list[int]:
        top = self._container.get_wrapped_container().top()
        column = top["Titles"].index("PID")
        return [int(row[column]) for row in top["Processes"]]

    def run(self, *command: str) -> str:
        # Docker itself has no timeout for a command that hangs.
        result = self._container.exec(["timeout", str(RUN_SECONDS), *command])
        output = result.output.decode(errors="replace")
        if result.exit_code != 0:
            raise RuntimeError(f"{command[0]} failed with {result.exit_code}: {output}")
        return output

    def check(self) -> None:
        container = self._container.get_wrapped_container()
        container.reload()
        if container.status in ("exited", "dead"):
            log = container.logs(tail=LOG_LINES_SHOWN).decode(errors="replace")
            raise ServerExited(f"the container of {self._container.image} has exited; the end of its log:\n{log}")

    def close(self) -> None:
        from docker.errors import DockerException

        with contextlib.suppress(DockerException, OSError):  # the engine may be gone, and the container with it
            self._container.stop()

    def _end(self, signal: Signals) -> None:
        container = self._container.get_wrapped_container()
        container.kill(signal=signal.name)
        container.wait(timeout=STOP_SECONDS)
