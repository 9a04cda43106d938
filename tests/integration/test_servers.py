"""The real servers that tests run against: RabbitMQ and PostgreSQL, in a container and as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pika  # type: ignore[import-untyped,unused-ignore]
import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg
import pytest
from support.docker_engine import need_docker

from bus.testing.servers.errors import NotControllable
from bus.testing.servers.postgres import PostgresServer, find_database
from bus.testing.servers.rabbitmq import Broker, NoBroker, find_broker
from bus.testing.servers.runner import Kind
from bus.testing.servers.server import LoginFailed, Server
from bus.testing.waiting import wait_until

# A first start of a broker takes 7 to 15 s on two idle cores.
RUN_SECONDS = 180.0

# The parent watch acts at once, and removes the folder a second later.
DEATH_SECONDS = 60.0

# The program's first act is to kill the process that started it.
KILLED_AT_ONCE = """
import subprocess
from signal import SIGTERM
from bus.testing.servers.parent_watch import ParentWatch
group = ParentWatch(SIGTERM).group
program = ["sh", "-c", "echo $$; kill -KILL $PPID; exec sleep 1000 >&-"]
subprocess.Popen(program, process_group=group).wait()  # or it might end by itself before it is killed
"""

QUEUE = "durable"
KINDS: tuple[Kind, ...] = ("container", "process")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    if chosen == "container":
        need_docker()
    return chosen


@pytest.fixture(scope="module")
def broker(kind: Kind) -> Iterator[Broker]:
    with find_broker(kind) as found:
        yield found


@pytest.fixture(scope="module")
def database(kind: Kind) -> Iterator[PostgresServer]:
    with find_database(kind) as found:
        yield found


def test_a_message_published_to_a_fresh_vhost_is_consumed_there(broker: Broker) -> None:
    url = broker.fresh_vhost()
    _publish(url, b"hello")
    assert _consume(url) == b"hello"


def test_returned_vhosts_are_deleted_and_others_stay(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.testing.servers.rabbitmq.MOST_RETURNED_VHOSTS", 2)
    urls = [broker.fresh_vhost() for _ in range(3)]
    for url in urls[:2]:
        broker.return_vhost(url)
    there = broker.ctl("list_vhosts", "name", "--silent").split()
    assert [urlsplit(url).path[1:] in there for url in urls] == [False, False, True]


def test_no_two_tests_get_the_same_vhost(broker: Broker) -> None:
    assert broker.fresh_vhost() != broker.fresh_vhost()


def test_rabbitmqctl_speaks_to_this_very_broker(broker: Broker) -> None:
    assert broker.ctl("version").strip().endswith(broker.version)
    with pytest.raises(RuntimeError, match="failed with"):
        broker.ctl("no_such_command")


def test_a_killed_broker_comes_back_under_its_url_with_its_durable_message(broker: Broker) -> None:
    url = broker.fresh_vhost()
    _publish(url, b"kept")
    broker.ctl(
        "eval", "mnesia:sync_log()."
    )  # of a queue that was declared a moment ago, a killed broker may know nothing
    broker.kill()
    with pytest.raises(LoginFailed):
        broker.login()
    broker.start()
    assert _consume(url) == b"kept"


def test_a_stopped_broker_accepts_no_log_in_until_it_is_started(broker: Broker) -> None:
    broker.stop()
    with pytest.raises(LoginFailed):
        broker.login()
    broker.start()
    assert broker.login() == broker.version


def test_a_running_server_knows_its_processes(broker: Broker, database: PostgresServer) -> None:
    servers: tuple[Server, ...] = (broker, database)
    for server in servers:
        names = [_name(pid) for pid in server.pids()]
        assert any(name.startswith(("beam", "postgres")) for name in names), names


def test_a_committed_row_survives_the_kill_of_its_database(database: PostgresServer) -> None:
    url = database.fresh_database()
    _execute(url, "CREATE TABLE kept (id int)")
    _execute(url, "INSERT INTO kept VALUES (7)")
    database.kill()
    with pytest.raises(LoginFailed):
        database.login()
    database.start()
    assert _execute(url, "TABLE kept") == [(7,)]


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restarted_database_keeps_its_url(database: PostgresServer, immediate: bool) -> None:
    url = database.fresh_database()
    database.restart(immediate=immediate)
    assert _execute(url, "SELECT 1") == [(1,)]


def test_a_given_server_is_used_as_it_is_and_stays_up(
    broker: Broker, database: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_TEST_URL", broker.url)
    monkeypatch.setenv("BUS_TEST_POSTGRES_URL", database.url)
    with find_broker() as given_broker, find_database() as given_database:
        assert (given_broker.kind, given_broker.url, given_broker.fresh_vhost()) == ("given", broker.url, broker.url)
        made = given_database.fresh_database()
        with pytest.raises(NotControllable):
            given_broker.kill()
    assert broker.login() == broker.version
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        _execute(made, "SELECT 1")


def test_a_command_is_run_beside_its_servers_and_its_exit_code_is_returned(kind: Kind) -> None:
    script = "import os, sys; print(os.environ['BUS_URL']); sys.exit(7)"
    run = _command(kind, sys.executable, "-c", script)
    output, _ = run.communicate(timeout=RUN_SECONDS)
    assert output.startswith("amqp://")
    assert run.returncode == 7


def test_a_process_dies_with_a_run_that_is_killed() -> None:
    run = _command("process", "sleep", "1000")
    family: list[psutil.Process] = []

    def sleeping() -> bool:
        family[:] = psutil.Process(run.pid).children(recursive=True)
        return any(_name(process.pid) == "sleep" for process in family)

    wait_until(sleeping, RUN_SECONDS, "the command runs")
    run.kill()
    run.wait(DEATH_SECONDS)
    wait_until(lambda: not any(map(_lives, family)), DEATH_SECONDS, "everything that was started has ended")


def test_a_program_dies_with_a_parent_that_is_killed_the_moment_it_starts() -> None:
    parent = subprocess.run(
        [sys.executable, "-c", KILLED_AT_ONCE], stdout=subprocess.PIPE, timeout=DEATH_SECONDS, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    wait_until(
        lambda: not any(process.pid == pid and _lives(process) for process in psutil.process_iter()),
        DEATH_SECONDS,
        "the program has ended",
    )


def test_a_demanded_kind_that_is_not_available_is_an_error_that_names_the_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BUS_TEST_URL", raising=False)
    monkeypatch.setenv("BUS_TEST_BROKER", "given")
    with pytest.raises(NoBroker, match="set BUS_TEST_URL, start a Docker engine, or install rabbitmq-server"):
        find_broker()


def _command(kind: Kind, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bus.testing", "run", "rabbitmq", "--", *command],
        env={**os.environ, "BUS_TEST_BROKER": kind},
        stdout=subprocess.PIPE,
        text=True,
    )


def _publish(url: str, body: bytes) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    # A classic queue: a quorum queue declared right before a kill can come back unusable.
    channel.queue_declare(QUEUE, durable=True)
    channel.basic_publish("", QUEUE, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
    connection.close()


def _consume(url: str) -> bytes:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    _, _, body = connection.channel().basic_get(QUEUE, auto_ack=True)
    connection.close()
    return bytes(body)


def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _name(pid: int) -> str:
    """Empty for one that has ended: servers and their scripts start others that live for milliseconds."""
    try:
        return str(psutil.Process(pid).name())
    except psutil.NoSuchProcess:
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
