"""The message page: what it says is there, and the programs that it shows are run as their readers would run them."""

import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.html_page import HtmlPage
from support.in_process_system import APPLICATIONS, RunningSystem
from support.published_programs import ProgramFolder, environment

from auth.contract import Refresh
from bus.contract.events import events_in
from bus.contract.fields import secrets_of
from bus.contract.settings import is_open
from bus.http.documents.description import Described
from bus.http.pages.programs import LANGUAGES
from bus.testing.servers.rabbitmq import Broker

HTTP_SECONDS = 30.0
# A reply of this status has no body.
NO_CONTENT = 204
# A listener is an interpreter that starts and a queue that is bound.
HEARD_SECONDS = 90.0
STOP_SECONDS = 30.0
# Programs at the same time. More would make each slower, and each waits no longer than five seconds for its answer.
TOGETHER = 2
# Alembic migrates one database of a process at a time.
STARTING = threading.Lock()

# Of these the programs show how a refusal looks: they have no access token where one is read, no refresh token that is
# one, no token of a mail, no service account, want pieces that are reserved, and take back a reservation that is
# committed.
REFUSED = {
    operation.operation_name: 401
    for application in APPLICATIONS
    for operation in application.operations
    if operation is Refresh or (operation.authentication == "required" and not is_open(application.service.settings))
} | {
    "auth.issue_service_token": 401,
    "auth.verify_email": 403,
    "auth.reset_password": 403,
    "catalog.reserve_lines": 409,
    "catalog.release_reservation": 409,
}
# Those that the documents of each service describe; those for operators have their own programs.
DESCRIBED = {each.name: Described(each.name, each.contract).operations for each in APPLICATIONS}
OPERATIONS = {each.operation_name: each for described in DESCRIBED.values() for each in described}
# What the templates of the programs ask of an operation, and how a reply looks: the first operation of each kind whose
# reply depends on no other.
ONE_OF_EACH_KIND = set(
    {
        (each.is_durable, bool(secrets_of(each)), each.success_status == NO_CONTENT, name in REFUSED): name
        for name, each in reversed(OPERATIONS.items())
        if REFUSED.get(name) != 409
    }.values()
)
# It takes away what others need.
LAST = "catalog.delete_product"
# The events that come of what `_do_until_heard` does.
TOLD = ("auth.user_changed", "catalog.product_changed", "catalog.product_removed")

# `bus` with another wait for a ping, which a busy machine answers too late for a caller in a hurry.
PATIENT_BUS = f"""#!{sys.executable}
from bus.client import liveness
from bus.cli import main

liveness.PING_SECONDS = 5.0
main()
"""


@pytest.fixture(scope="module")
def program_folder(tmp_path_factory: pytest.TempPathFactory) -> ProgramFolder:
    return ProgramFolder(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def system(broker_url: str, tmp_path: Path) -> Iterator[RunningSystem]:
    with RunningSystem(broker_url, tmp_path) as system:
        yield system


def _pages(system: RunningSystem) -> list[HtmlPage]:
    pages = []
    for url in system.front_ends.values():
        with urlopen(f"{url}/messages", timeout=HTTP_SECONDS) as response:
            pages.append(HtmlPage(response.read().decode()))
    return pages


def test_the_page_shows_every_operation_in_every_language_and_every_event(system: RunningSystem) -> None:
    for application, page in zip(APPLICATIONS, _pages(system), strict=True):
        operations = {each.operation_name for each in DESCRIBED[application.name]}
        assert set(page.programs) == {(name, language.key) for name in operations for language in LANGUAGES}
        assert operations <= set(page.ids)
        assert not page.open_elements
        assert len(set(page.ids)) == len(page.ids)
        inside = {link[1:] for link in page.links if link.startswith("#")}
        assert inside <= set(page.ids)
        assert operations <= inside
        assert not [link for link in page.links if "//" in link]


def test_the_programs_of_the_pages_get_their_answers(
    program_folder: ProgramFolder, rabbitmq: Broker, tmp_path: Path
) -> None:
    """Every program in Python. In the other languages one of each kind, since no more than the name and the literals
    differ within a kind, and `tests/unit/http/pages/test_literals.py` shows the literals.

    Each language against a system of its own, and in the order of the page: what is read was made before.
    """
    _write_patient_bus(tmp_path)
    with ThreadPoolExecutor(TOGETHER) as pool:
        runs = []
        for key in (language.key for language in LANGUAGES):
            folder = tmp_path / f"system-{key}"
            folder.mkdir()
            names = set(OPERATIONS) if key == "python" else ONE_OF_EACH_KIND
            runs.append(pool.submit(_run_all, program_folder, rabbitmq.fresh_vhost(), folder, key, names))
        for run in runs:
            run.result()


def _write_patient_bus(folder: Path) -> None:
    program = folder / "bus"
    program.write_text(PATIENT_BUS)
    program.chmod(stat.S_IRWXU)


def _run_all(program_folder: ProgramFolder, url: str, folder: Path, language: str, names: Set[str]) -> None:
    """The programs of one language, one after the other. `folder` is in one that has `bus`."""
    with ExitStack() as stack:
        with STARTING:
            system = stack.enter_context(RunningSystem(url, folder))
        _run_in(program_folder, system, language, names, folder.parent)


def _run_in(program_folder: ProgramFolder, system: RunningSystem, language: str, names: Set[str], path: Path) -> None:
    programs = {
        name: text
        for page in _pages(system)
        for (name, key), text in page.programs.items()
        if key == language and name in names
    }
    assert programs.keys() == names
    for operation, text in sorted(programs.items(), key=lambda program: program[0] == LAST):
        run = program_folder.run(language, text, system.url, path=str(path))
        shown = f"{operation} in {language}: {run.stdout}{run.stderr}"
        status = _status(language, run)
        assert status == REFUSED[operation] if operation in REFUSED else 200 <= status < 300, shown
        assert (run.returncode == 0) is (operation not in REFUSED), shown


def _status(language: str, run: subprocess.CompletedProcess[str]) -> int:
    """What a program says of its reply: the status and the body, but one object from `bus call --json`, and a problem
    alone from the shell's, whose tools show no headers."""
    is_object = language == "bus" or (language == "shell" and run.returncode != 0)
    return int(json.loads(run.stdout)["status"] if is_object else run.stdout.split()[0])


def test_every_listener_of_the_pages_hears_its_event(
    program_folder: ProgramFolder, system: RunningSystem, tmp_path: Path
) -> None:
    pages = _pages(system)
    shown = [(*key, text) for page in pages for key, text in page.listeners.items()]
    events = [event for application in APPLICATIONS for event in events_in(application.contract)]
    assert len(shown) == 2 * len(events)  # each in two ways
    listeners = [each for each in shown if each[0] in TOLD]
    assert len(listeners) == 2 * len(TOLD)
    outputs, processes = [], []
    try:
        for event, kind, text in listeners:
            output = tmp_path / f"{event}-{kind}"
            outputs.append(output)
            processes.append(_listen(kind, text.replace("my-queue", event), output, system.url))
        _do_until_heard(program_folder, system, pages, outputs)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(STOP_SECONDS)


def _listen(kind: str, text: str, output: Path, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-c", text] if kind == "data-bind" else ["sh", "-c", f"exec {text}"]
    with output.open("wb") as stream:
        return subprocess.Popen(command, env=environment(url), stdout=stream, stdin=subprocess.DEVNULL)


def _do_until_heard(
    program_folder: ProgramFolder, system: RunningSystem, pages: list[HtmlPage], outputs: list[Path]
) -> None:
    """Listeners need a moment until they are bound, so that the first events may be missed: tell of more."""
    programs = {
        operation: text for page in pages for (operation, key), text in page.programs.items() if key == "python"
    }
    deadline, number = time.monotonic() + HEARD_SECONDS, 0
    while not all('"version":' in output.read_text() for output in outputs):
        assert time.monotonic() < deadline, {output.name: output.read_text() for output in outputs}
        number += 1
        register = programs["auth.register"].replace('"ada', f'"ada{number}')
        create, delete = programs["catalog.create_product"], programs["catalog.delete_product"]
        for text in (register, create, delete.replace('"product_id": 1}', f'"product_id": {number}}}')):
            run = program_folder.run("python", text, system.url)
            assert run.returncode == 0, run.stdout
