"""The environment that `make` uses: it fits its folder, and the caller's settings put nothing elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Settings that people have for good reasons, and that would put the packages somewhere else.
HARMFUL = {
    "PIP_USER": "1",
    "PIP_TARGET": "/elsewhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_CONFIG_FILE": "/elsewhere",
    "UV_TARGET": "/elsewhere",
    "UV_SYSTEM_PYTHON": "1",
    "UV_PYTHON": "/elsewhere",
    "UV_CONFIG_FILE": "/elsewhere",
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
}
SOURCES = {"PIP_INDEX_URL": "https://example.org/simple", "UV_DEFAULT_INDEX": "https://example.org/simple"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the scripts."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    return folder


def _make(folder: Path, python: str = sys.executable, *given: str) -> subprocess.CompletedProcess[str]:
    command = ["deploy/make-environment", ".venv", python, *given]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def _place(folder: Path) -> str:
    command = ["sh", "-c", '. .venv/bin/activate && .venv/bin/python -c "import sys; print(sys.prefix)"']
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_an_environment_is_made_once(checkout: Path) -> None:
    assert (_make(checkout).returncode, _place(checkout)) == (0, str(checkout / ".venv"))
    (checkout / ".venv" / "kept").touch()
    assert _make(checkout, "python3.99").stderr == ""  # PYTHON is not needed, and was not asked for
    assert _make(checkout, sys.executable, "given").stderr == ""
    assert (checkout / ".venv" / "kept").exists()


def test_it_is_made_again_in_a_copy_and_without_its_python(checkout: Path) -> None:
    _make(checkout)
    copy = Path(shutil.copytree(checkout, checkout.with_name("copy"), symlinks=True))
    assert "is made again" in _make(copy).stderr
    assert _place(copy) == str(copy / ".venv")
    moved = copy.rename(copy.with_name("moved"))
    assert "is made again" in _make(moved, str(moved / ".venv" / "bin" / "python")).stderr
    assert _place(moved) == str(moved / ".venv")
    python = moved / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python3")
    assert "is made again" in _make(moved).stderr
    (packages,) = (moved / ".venv").glob("lib/python*/site-packages")
    packages.parent.rename(packages.parent.with_name("python3.1"))  # as if the machine's Python had been upgraded
    assert "is made again" in _make(moved).stderr


def test_a_folder_that_is_no_environment_stays(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "thesis").touch()
    refused = _make(checkout)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith(".venv is not a virtual environment.")
    assert (checkout / ".venv" / "thesis").exists()


@pytest.mark.parametrize("given", [(), ("given",)])
def test_a_python_that_cannot_be_run_is_named(checkout: Path, given: tuple[str, ...]) -> None:
    refused = _make(checkout, "python3.99", *given)
    assert refused.returncode == 1
    assert refused.stderr == "python3.99 cannot be run. Run make with PYTHON=PATH, the path of Python 3.11 or later.\n"


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_of_the_callers_settings_only_the_sources_of_packages_count(checkout: Path, installer: str) -> None:
    """With programs that write down how they were called."""
    seen = checkout / "seen"
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    lists = """case "$*" in *"config list"*)
    echo "install.user='true'"
    echo ":env:.index-url='https://example.org/simple'"
    exit;; esac
"""
    for program in (programs / "python", programs / "uv"):
        program.write_text(f'#!/bin/sh\n{lists}{{ echo "$0 $*"; env; }} >>"{seen}"\n')
        program.chmod(0o755)
    search = f"{programs}:/usr/bin:/bin" if installer == "uv" else "/usr/bin:/bin"
    environment = {**os.environ, **HARMFUL, **SOURCES, "PATH": search}
    command = ["/bin/sh", "deploy/install", ".venv", "requirements.lock"]
    subprocess.run(command, cwd=checkout, env=environment, check=True, timeout=60)
    _, installing = seen.read_text().split("--require-hashes -r requirements.lock\n")
    lines = installing.splitlines()
    ours, other = ("UV_", "PIP_") if installer == "uv" else ("PIP_", "UV_")
    theirs = {line for line in lines if line.startswith((ours, "PYTHON"))}
    assert not {f"{name}={value}" for name, value in HARMFUL.items() if not name.startswith(other)} & theirs
    assert {f"{name}={value}" for name, value in SOURCES.items() if name.startswith(ours)} <= theirs
    assert ("UV_NO_CONFIG=1" if installer == "uv" else "PIP_CONFIG_FILE=/dev/null") in theirs


def test_pip_in_an_activated_environment_is_its_own_also_where_uv_installs(checkout: Path) -> None:
    _make(checkout)
    programs = checkout / "programs"
    programs.mkdir()
    (programs / "uv").write_text("#!/bin/sh\n")
    (programs / "uv").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:/usr/bin:/bin"}
    run = ["sh", "-c", "deploy/install .venv requirements.lock && . .venv/bin/activate && pip --version"]
    ran = subprocess.run(run, cwd=checkout, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert f" from {checkout / '.venv'}/" in ran.stdout


@pytest.mark.parametrize("broker", ["rabitmq", "RabbitMQ", "rabbitmq embedded"])
def test_an_unknown_broker_is_refused(broker: str) -> None:
    command = ["make", "--dry-run", "run", f"BROKER={broker}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 2
    assert f"BROKER must be rabbitmq or embedded, not '{broker}'" in made.stderr


def test_scripts_have_the_line_ends_of_linux_in_every_checkout(tmp_path: Path) -> None:
    """Also where git is set to write those of Windows."""
    git = ["git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for name in ("source", "clone"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    (tmp_path / "source" / "script").write_bytes(b"#!/bin/sh\necho works\n")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "Both"]):
        subprocess.run([*git, *command], cwd=tmp_path / "source", check=True, timeout=60)
    subprocess.run([*git, "clone", "--quiet", "source", "clone"], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "clone" / "script").read_bytes() == b"#!/bin/sh\necho works\n"
