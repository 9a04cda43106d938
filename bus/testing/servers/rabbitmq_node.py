"""A private RabbitMQ node, started from the installed rabbitmq-server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM, Signals

from bus.testing.servers.ports import free_ports, is_listening
from bus.testing.servers.processes import Process
from bus.testing.waiting import wait_until

# Debian's programs themselves; its /usr/sbin wrappers change to the user `rabbitmq`.
DEBIAN_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

# epmd is a small C program: it listens after milliseconds. The rest is for a busy machine.
EPMD_SECONDS = 30.0

# rabbitmqctl starts an Erlang machine of its own: half a second idle, several on a busy machine.
CTL_SECONDS = 60.0

CONFIGURATION = """\
loopback_users.guest = false
listeners.tcp.default = 127.0.0.1:{port}
# A test run must not stop because the machine's disk is nearly full.
disk_free_limit.absolute = 50MB
"""

JOINING = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {peer}
"""


def find_server() -> Path | None:
    """Return the path of the installed rabbitmq-server, or None when none can run here."""
    if shutil.which("epmd") is None:
        return None
    if DEBIAN_SERVER.exists():
        return DEBIAN_SERVER
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


class Node:
    """A node with its own epmd, cookie, name, data and log, separate from any other node on this machine.

    It listens on 127.0.0.1 only, and every user of this machine may log in as guest. With a running `peer` it joins
    the peer's cluster, and shares its epmd and cookie. `settings` are more lines of its rabbitmq.conf.
    """

    def __init__(self, server: Path, peer: "Node | None" = None, settings: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bus-rabbitmq-"))
        self.port, self._epmd_port, distribution_port = free_ports(3)
        self.name = f"bus{self.port}@localhost"
        self._write_files(settings)
        if peer is not None:
            self._join(peer)
        self._environment = _environment(self._folder, server.parent, self.name, self._epmd_port, distribution_port)
        epmd = ("epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1")
        self._epmd = Process("epmd", epmd, self._folder, self._environment)
        # Without -noinput, Erlang would read commands from its input.
        self._node = Process("rabbitmq", (str(server), "-noinput"), self._folder, self._environment)

    @property
    def folder(self) -> Path:
        return self._folder

    def start(self) -> None:
        """Start epmd first: a node that finds none starts one as a daemon, which would outlive this process."""
        if not is_listening(self._epmd_port):
            self._epmd.start()
            wait_until(lambda: is_listening(self._epmd_port), EPMD_SECONDS, "epmd listens")
        self._node.start()

    def kill(self) -> None:
        self._node.kill()

    def stop(self, signal: Signals = SIGTERM) -> None:
        self._node.stop(signal)

    def pids(self) -> list[int]:
        return self._node.pids()

    def run(self, *command: str) -> str:
        result = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=CTL_SECONDS,
        )
        if result.returncode != 0:
            raise RuntimeError(f"{command[0]} failed with {result.returncode}: {result.stdout}")
        return result.stdout

    def check(self) -> None:
        self._node.check()

    def close(self) -> None:
        self._node.kill()
        self._epmd.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _join(self, peer: "Node") -> None:
        self._epmd_port = peer._epmd_port
        with (self._folder / "rabbitmq.conf").open("a") as file:
            file.write(JOINING.format(peer=peer.name))
        shutil.copy2(peer._folder / ".erlang.cookie", self._folder)  # Erlang requires that only its owner can read it

    def _write_files(self, settings: str) -> None:
        """Write the files that would otherwise be read from /etc/rabbitmq."""
        (self._folder / "rabbitmq.conf").write_text(CONFIGURATION.format(port=self.port) + settings)
        (self._folder / "rabbitmq-env.conf").touch()
        (self._folder / "enabled_plugins").write_text("[].\n")
        (self._folder / "conf.d").mkdir()


def _environment(folder: Path, programs: Path, name: str, epmd_port: int, distribution_port: int) -> Mapping[str, str]:
    """Return the environment of the node and of rabbitmqctl: ours, without what points to another node."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    return inherited | {
        "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "HOME": str(folder),  # the cookie is created there
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": name,
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_ALLOW_INPUT": "1",  # the script becomes the node, instead of its parent
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
    }
