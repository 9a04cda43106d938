"""What `bus run` says of the environment it runs from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus.cli.run import activation


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment in a folder whose name a shell would split."""
    script = tmp_path / "a project" / ".venv" / "bin" / "activate"
    script.parent.mkdir(parents=True)
    script.touch()
    return script.parents[1]


def test_in_the_folder_of_the_environment_the_path_is_short(environment: Path) -> None:
    assert activation(environment, ["/usr/bin"], environment.parent) == ". .venv/bin/activate"


def test_elsewhere_it_is_whole_and_quoted(environment: Path) -> None:
    assert activation(environment, ["/usr/bin"], Path("/usr")) == f". '{environment}/bin/activate'"


def test_an_active_environment_needs_no_activation(environment: Path) -> None:
    assert activation(environment, ["/usr/bin", f"{environment}/bin"], environment.parent) == ""


def test_what_is_not_a_virtual_environment_cannot_be_activated(tmp_path: Path) -> None:
    assert activation(tmp_path, ["/usr/bin"], tmp_path) == ""


@pytest.mark.parametrize("reader", ["a full disk", "a reader that has gone"])
def test_where_it_cannot_be_written_the_system_works_on(reader: str) -> None:
    program = "import sys; from bus.cli.run import _say; _say('a' * 99); _say('b'); sys.stderr.write('works')"
    if reader == "a full disk":
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        end, out = os.pipe()
        os.close(end)
    run = subprocess.run([sys.executable, "-c", program], stdout=out, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(out)
    assert (run.returncode, run.stderr) == (0, b"works")
