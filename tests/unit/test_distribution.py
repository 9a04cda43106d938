"""The distribution: its name, which other packages depend on, and its licence."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from bus.cli import bus
from bus.cli.new import write_skeleton

ROOT = Path(__file__).parents[2]
NAME = "errand-bus"


def test_the_command_line_says_its_version() -> None:
    result = CliRunner().invoke(bus, ["--version"])
    assert result.output == f"bus, version {distribution(NAME).version}\n"


def test_new_services_and_the_example_depend_on_it_by_its_name(tmp_path: Path) -> None:
    for folder in (write_skeleton("memo", tmp_path, 5002), ROOT / "examples" / "feed", ROOT / "examples" / "orders"):
        project = _project_of(folder)
        assert project["dependencies"] == [NAME]
        assert f"{NAME}[testing]" in project["optional-dependencies"]["test"]


def test_its_metadata_have_its_licence_and_those_of_what_it_contains() -> None:
    metadata = distribution(NAME).metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    files = [Path(name) for name in metadata.get_all("License-File", [])]
    assert Path("LICENSE") in files
    assert {"LICENSE", "NOTICE"} <= {file.name for file in files if "static" in file.parts}


def _project_of(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project
