"""What `bus run` says of the environment it runs from."""

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
