"""`bus new`: a service that is installed, tested, checked and run as it was written."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bus_run_system import get, post
from support.installed_project import COMMAND_SECONDS, Project, environment_without

import bus
from bus.testing.servers.ports import free_ports, is_listening
from bus.testing.waiting import wait_until

LIBRARY = Path(bus.__file__).parent
# Of `make lint`: what it has read of the libraries is not read again.
TYPES = LIBRARY.parent / ".mypy_cache" / "examples"
START_SECONDS = 90
STOP_SECONDS = 60


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("new")
    before = _files_of_the_library()
    subprocess.run(
        [sys.executable, "-m", "bus.cli", "new", "memo", "--into", folder], check=True, timeout=START_SECONDS
    )
    assert _files_of_the_library() == before, "bus new wrote into bus/"
    project = Project(folder / "memo", folder / "environment")
    project.install()
    return project


def test_its_own_tests_pass(project: Project) -> None:
    assert "5 passed" in project.run("pytest", "-q")


def test_the_linter_finds_nothing(project: Project) -> None:
    subprocess.run([sys.executable, "-m", "ruff", "check", project.folder], check=True, timeout=COMMAND_SECONDS)
    subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", project.folder], check=True, timeout=COMMAND_SECONDS
    )


def test_the_type_checker_finds_nothing(project: Project) -> None:
    project.run("mypy", "--strict", "--cache-dir", str(TYPES), "memo", "tests")


def test_its_operations_are_listed_beside_ours(project: Project) -> None:
    listed = project.run("bus.cli", "operations")
    for name in ("memo.create_note", "memo.get_note", "memo.ping", "catalog.create_product"):
        assert f"{name} " in listed


def test_its_history_can_go_on(project: Project) -> None:
    project.run("alembic", "revision", "--autogenerate", "--rev-id", "0002", "-m", "Notes have a text")
    written = project.folder / "memo" / "migrations" / "versions" / "0002_notes_have_a_text.py"
    try:
        assert 'down_revision = "0001"' in written.read_text()
    finally:
        written.unlink()


def test_it_runs_answers_over_http_and_ends_cleanly(project: Project, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url, milk = f"http://127.0.0.1:{port}", {"title": "Milk"}
    with _running(project, {"MEMO_PORT": str(port), "DATA_DIR": str(tmp_path)}) as process:
        wait_until(lambda: is_listening(port) or process.poll() is not None, START_SECONDS, "bus run memo")
        created = post(f"{url}/notes", milk)
        assert (created.status_code, created.json()) == (201, {"id": 1, **milk})
        assert get(url + created.headers["Location"]).json() == created.json()
        assert post(f"{url}/notes", milk).json()["code"] == "memo.title_taken"
        assert get(f"{url}/notes/2").status_code == 404
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, output
    assert url in output
    assert "Traceback" not in output
    assert (tmp_path / "memo.db").exists()


def _files_of_the_library() -> dict[Path, bytes]:
    files = (file for file in LIBRARY.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file: file.read_bytes() for file in files}


@contextmanager
def _running(project: Project, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [project.python, "-m", "bus.cli", "run", "memo"],
        env=environment_without("BUS_", "MEMO_") | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
