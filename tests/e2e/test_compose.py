"""The containers: the real compose file on a real Docker engine, used as its operator and its callers use it.

One system for the whole file, of its own name, ports, passwords and volumes; the tests build on each other in
their order, and the last one takes the system down.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pika
import pytest
import requests
from support.bus_run_system import get, post

from bus.testing.servers.containers import check_engine
from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until

PROJECT = Path(__file__).parents[2]
DEPLOYING = PROJECT / "docs" / "deploying.md"

# The first build downloads the dependencies; every other takes seconds.
UP_SECONDS = 420.0
DOWN_SECONDS = 120.0
COMMAND_SECONDS = 120.0
# A worker's start, or its end after SIGTERM, on a busy machine.
WORKER_SECONDS = 90.0
ANSWER_SECONDS = 10.0
CREATED = 201
# Of a front end that is not there.
NO_ANSWER = 0
OUTAGE_PAUSE_SECONDS = 0.2
# A machine that stands still for longer than a ping waits makes a worker look like none.
MOST_REFUSALS = 3
LOG_LINES_SHOWN = 60

ROLES = {"auth-web", "auth-worker", "catalog-web", "catalog-worker", "console"}
# Products created before, and again after, a worker is lost.
CREATIONS = 30


class System:
    """The containers of one compose project."""

    def __init__(self, secrets: Path) -> None:
        self.name = f"errand-test-{uuid.uuid4().hex[:8]}"
        self.auth_port, self.catalog_port, console_port, self._amqp_port, management_port = free_ports(5)
        self._secrets = secrets
        self._environment = {
            **os.environ,
            "SECRETS": str(secrets),
            "SETTINGS": str(secrets / "settings.env"),
            "AUTH_PORT": str(self.auth_port),
            "CATALOG_PORT": str(self.catalog_port),
            "CONSOLE_PORT": str(console_port),
            "AMQP_PORT": str(self._amqp_port),
            "MANAGEMENT_PORT": str(management_port),
        }

    @property
    def auth(self) -> str:
        return f"http://127.0.0.1:{self.auth_port}"

    @property
    def catalog(self) -> str:
        return f"http://127.0.0.1:{self.catalog_port}"

    @property
    def broker(self) -> str:
        """The broker's URL as it is reached from outside the containers."""
        inside = (self._secrets / "bus_url").read_text().strip()
        return inside.replace("@rabbitmq:5672", f"@127.0.0.1:{self._amqp_port}")

    def passwords(self) -> dict[str, str]:
        """All passwords, by the names of their files."""
        urls = {each.name: urlsplit(each.read_text().strip()).password or "" for each in self._secrets.glob("*_url")}
        return {**urls, "postgres_password": (self._secrets / "postgres_password").read_text()}

    def keys(self) -> dict[str, str]:
        """The keys of databases, and the operator token, by the names of their files."""
        files = [*self._secrets.glob("*_database_key"), self._secrets / "operator_token"]
        return {each.name: each.read_text().strip() for each in files}

    def compose(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        return _run("docker", "compose", "-p", self.name, *arguments, seconds=seconds, environment=self._environment)

    def up(self) -> None:
        """What `make up` does: passwords, image, containers, and wait until all is healthy."""
        _run(str(PROJECT / "deploy" / "make-secrets"), str(self._secrets))
        (self._secrets / "settings.env").write_text("KEEP_DAYS=14\n")
        try:
            self.compose("up", "--build", "--detach", "--wait", seconds=UP_SECONDS)
        except (AssertionError, subprocess.TimeoutExpired) as failure:
            raise AssertionError(f"{failure}\n{self.compose('ps', '--all')}\n{self.logs()}") from None

    def rotate_passwords(self) -> None:
        environment = {**self._environment, "COMPOSE_PROJECT_NAME": self.name}
        _run(str(PROJECT / "deploy" / "rotate-passwords"), seconds=UP_SECONDS, environment=environment)

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", seconds=DOWN_SECONDS)

    def containers(self) -> list[dict[str, Any]]:
        """What `docker compose ps` tells of each container, those that have ended among them."""
        return [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").splitlines()]

    def containers_of(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail", str(LOG_LINES_SHOWN), *services)

    def queues(self, column: str) -> dict[str, int]:
        """A number the broker tells of each of its queues, such as `consumers`."""
        told = self.compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "list_queues", "name", column)
        rows = (line.split("\t") for line in told.splitlines()[1:])
        return {name: int(number) for name, number in rows}

    def create_product(self, name: str) -> requests.Response:
        return post(f"{self.catalog}/products", _product(name))

    def ask_for_product(self, name: str) -> int:
        """Ask once for a product, always under the same key; the status, or NO_ANSWER."""
        url, key = f"{self.catalog}/products", {"Idempotency-Key": name.replace(" ", "-")}
        try:
            return requests.post(url, json=_product(name), headers=key, timeout=WORKER_SECONDS).status_code
        except requests.ConnectionError:
            return NO_ANSWER

    def lists_products(self) -> bool:
        """Whether the front end gives a list now."""
        try:
            return requests.get(f"{self.catalog}/products", timeout=ANSWER_SECONDS).ok
        except requests.RequestException:
            return False

    def product_names(self) -> list[str]:
        """The names of all products, page by page."""
        names: list[str] = []
        path: str | None = "/products?limit=500"
        while path is not None:
            page = get(f"{self.catalog}{path}").json()
            names += [product["name"] for product in page["products"]]
            path = page["next"]
        return names

    def leftovers(self) -> str:
        """Containers, volumes and networks of this project, whatever their state."""
        label = f"label=com.docker.compose.project={self.name}"
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        return "".join(_run("docker", *kind, "--quiet", "--filter", label) for kind in kinds)


def _product(name: str) -> dict[str, str | float]:
    return {"name": name, "price": 9.9, "quantity": 3}


class Creations:
    """Within its block a thread has products created, one after the other, each asked for until it is done.

    `refusals` are the answers that said that it was not.
    """

    def __init__(self, system: System) -> None:
        self.names: list[str] = []
        self.done: list[str] = []
        self.refusals: list[int] = []
        self._system = system
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(WORKER_SECONDS)

    def wait_for_more(self) -> None:
        """Return when a good many more were answered."""
        enough = len(self.done) + CREATIONS
        wait_until(lambda: len(self.done) >= enough, WORKER_SECONDS, f"{enough} creations")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.names.append(f"Creation {uuid.uuid4().hex}")
            while (status := self._system.ask_for_product(self.names[-1])) != CREATED:
                self.refusals.append(status)
                time.sleep(OUTAGE_PAUSE_SECONDS)
            self.done.append(self.names[-1])


def _run(*command: str, seconds: float = COMMAND_SECONDS, environment: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, cwd=PROJECT, env=environment, check=False
    )
    assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _check_docker() -> None:
    """Raises ProvisioningFailed without a Docker engine and its compose."""
    check_engine()
    try:
        _run("docker", "compose", "version")
    except (OSError, AssertionError) as failure:
        raise ProvisioningFailed(f"docker compose does not run: {failure}") from failure


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system, healthy."""
    try:
        _check_docker()
    except ProvisioningFailed as missing:
        reason = f"THE CONTAINERS ARE NOT TESTED: {missing}."
        if os.environ.get("CI") and os.environ.get("BUS_EXPECT_DOCKER") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    system = System(tmp_path_factory.mktemp("secrets"))
    try:
        system.up()
        yield system
    finally:
        system.down()


def test_every_container_is_healthy_and_the_migration_has_ended_well(system: System) -> None:
    containers = {each["Service"]: each for each in system.containers()}
    assert containers.keys() == ROLES | {"rabbitmq", "postgres", "migrate"}
    migrate = containers.pop("migrate")
    assert (migrate["State"], migrate["ExitCode"]) == ("exited", 0)
    assert {each["Health"] for each in containers.values()} == {"healthy"}, containers


def test_nothing_alarming_is_logged_while_the_system_starts(system: System) -> None:
    lines = system.logs("migrate", *ROLES).splitlines()
    # The catalog is open, and plain secrets are taken; both is said at each start.
    for event in ("open_to_everyone", "unsealed_secrets_accepted"):
        said = f'"event":"{event}"'
        assert [line for line in lines if said in line]
        lines = [line for line in lines if said not in line]
    logs = "\n".join(lines)
    for alarm in ("Traceback", "Error", '"level":"warning"', '"level":"error"', "[WARNING]", "[ERROR]"):
        assert alarm not in logs


def test_ports_are_open_to_this_machine_alone(system: System) -> None:
    published = [port for each in system.containers() for port in each["Publishers"] or [] if port["PublishedPort"]]
    assert len(published) == 5
    assert {port["URL"] for port in published} == {"127.0.0.1"}


def test_all_metrics_are_served_inside_the_network(system: System) -> None:
    read = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
    for place in ("auth-worker:9100", "catalog-worker:9100", "auth-web:5000", "catalog-web:5001"):
        shown = system.compose("exec", "-T", "catalog-web", "python", "-c", read, f"http://{place}/metrics")
        connection = place.partition(":")[0]
        assert f'bus_broker_connected{{connection="{connection}"}} 1.0' in shown


@pytest.mark.parametrize("service", sorted(ROLES))
def test_our_containers_run_without_rights(system: System, service: str) -> None:
    tell = "id -u; grep CapEff /proc/self/status; touch /opt/errand/new 2>&1 || true"
    user, capabilities, refusal = system.compose("exec", "-T", service, "sh", "-c", tell).splitlines()
    assert user == "10001"
    assert int(capabilities.split()[1], 16) == 0
    assert "Read-only file system" in refusal


def test_no_secret_is_in_an_environment(system: System) -> None:
    secrets = {**system.passwords(), **system.keys()}
    assert len(secrets) == 12
    for container in system.containers():
        told = _run("docker", "inspect", "--format", "{{.Config}}", container["ID"])
        assert not [name for name, secret in secrets.items() if secret in told]


def test_our_containers_have_the_settings_of_the_file(system: System) -> None:
    for service in ROLES:
        [container] = system.containers_of(service)
        assert "KEEP_DAYS=14" in json.loads(_run("docker", "inspect", "--format", "{{json .Config.Env}}", container))


def test_no_container_can_take_all_memory_or_fill_the_disk_with_its_log(system: System) -> None:
    for container in system.containers():
        told = _run("docker", "inspect", "--format", "{{json .HostConfig}}", container["ID"])
        limits = json.loads(told)
        assert limits["Memory"] > 0
        assert limits["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}}


def test_the_broker_refuses_what_no_worker_would_accept(system: System) -> None:
    """Its own bound is above that of the workers, which answer."""
    with pika.BlockingConnection(pika.URLParameters(system.broker)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="larger than"):
            channel.basic_publish("", "catalog.create_product", b"x" * 1_048_577)


def test_a_user_registers_over_http(system: System) -> None:
    ada = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery staple"}
    response = post(f"{system.auth}/register", ada)
    assert response.status_code == 201, response.text
    assert post(f"{system.auth}/register", ada).status_code == 409


def test_a_product_is_created_over_http_and_kept_in_postgresql(system: System) -> None:
    response = system.create_product("Over HTTP")
    assert response.status_code == 201, response.text
    assert get(f"{system.catalog}/health/ready").json()["database"] == "postgresql"
    query = "SELECT name FROM products"
    psql = ("psql", "--username=postgres", "--host=/var/run/postgresql", "--dbname=catalog", "--tuples-only")
    assert "Over HTTP" in system.compose("exec", "-T", "--user", "postgres", "postgres", *psql, "--command", query)


def test_a_product_published_by_pika_alone_is_in_the_list(system: System) -> None:
    with pika.BlockingConnection(pika.URLParameters(system.broker)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        body = json.dumps({"name": "Over AMQP", "price": 9.9, "quantity": 3}).encode()
        channel.basic_publish("", "catalog.create_product", body, mandatory=True)
    wait_until(lambda: "Over AMQP" in system.product_names(), WORKER_SECONDS, "the product")


def test_three_workers_share_a_queue(system: System) -> None:
    system.compose("up", "--detach", "--no-recreate", "--scale", "catalog-worker=3", "catalog-worker")
    wait_until(
        lambda: system.queues("consumers")["catalog.create_product"] == 3, WORKER_SECONDS, "three consumers of a queue"
    )
    assert system.create_product("By one of three").status_code == 201


def test_a_restarted_worker_loses_nothing(system: System) -> None:
    with Creations(system) as creations:
        _run("docker", "restart", system.containers_of("catalog-worker")[0])
        creations.wait_for_more()
    _check_all_created(system, creations)


def test_a_killed_worker_loses_nothing_and_comes_back(system: System) -> None:
    killed = system.containers_of("catalog-worker")[0]
    started = _started_at(killed)
    with Creations(system) as creations:
        # From inside, as a fault would: what `docker kill` ends is not started again.
        _run("docker", "exec", "--detach", killed, "python", "-c", "import os; os.kill(-1, 9)")
        wait_until(lambda: _started_at(killed) != started, WORKER_SECONDS, "the container's restart")
        creations.wait_for_more()
    _check_all_created(system, creations)


def test_a_service_of_ones_own_is_put_into_an_image(system: System, tmp_path: Path) -> None:
    """As docs/deploying.md has it."""
    _run(sys.executable, "-m", "bus.cli", "new", "shelf", "--into", str(tmp_path))
    [dockerfile] = re.findall(r"^```dockerfile\n(.*?)^```", DEPLOYING.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "shelf" / "Dockerfile").write_text(dockerfile)
    image = f"{system.name}-shelf"
    try:
        _run("docker", "build", "--quiet", "--tag", image, str(tmp_path / "shelf"), seconds=UP_SECONDS)
        offered = _run("docker", "run", "--rm", image, "operations")
        assert "shelf.create_note " in offered
        assert "catalog.create_product " in offered
    finally:
        _run("docker", "image", "rm", "--force", image)


def test_all_passwords_are_changed_while_commands_are_carried_out(system: System) -> None:
    system.compose("up", "--detach", "--no-deps", "--no-recreate", "--scale", "catalog-worker=1", "catalog-worker")
    before, old_broker = system.passwords(), system.broker
    with Creations(system) as creations:
        system.rotate_passwords()
        creations.wait_for_more()
    assert creations.done == creations.names
    assert Counter(system.product_names()) >= Counter(creations.names)
    after = system.passwords()
    assert after.keys() == before.keys()
    assert not [name for name in before if before[name] == after[name]]
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(pika.URLParameters(old_broker))
    # The databases took the new ones too: else no worker would have started.
    assert {each["Health"] for each in system.containers() if each["Service"] in ROLES} == {"healthy"}


def test_what_was_answered_is_there_after_down_and_up(system: System) -> None:
    before = system.product_names()
    system.compose("down", seconds=DOWN_SECONDS)
    system.compose("up", "--detach", seconds=UP_SECONDS)
    wait_until(system.lists_products, WORKER_SECONDS, "an answer after the second start")
    assert system.product_names() == before


def test_down_with_volumes_leaves_nothing(system: System) -> None:
    assert system.leftovers()
    system.down()
    assert system.leftovers() == ""


def _check_all_created(system: System, creations: Creations) -> None:
    """All were done, and each is there once. The other workers answer while one is away."""
    assert creations.done == creations.names
    assert len(creations.refusals) <= MOST_REFUSALS, creations.refusals

    def all_are_there_once() -> bool:
        counted = Counter(system.product_names())
        return all(counted[name] == 1 for name in creations.names)

    wait_until(all_are_there_once, WORKER_SECONDS, "each creation once")


def _started_at(container: str) -> str:
    return _run("docker", "inspect", "--format", "{{.State.StartedAt}}", container)
