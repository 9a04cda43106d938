"""`bus new`: names that work are filled in, others are refused before anything is written."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from bus.cli import bus
from bus.cli.new import FIRST_PORT, InvalidName, write_skeleton

LONGEST = "a" * 31
# Names that are also those of things in a service's own modules, and the longest.
AWKWARD = ["note", "notes", "service", "application", "contract", "web", "migrations", "my_notes2", LONGEST]
AUTHORS_FILES = ("contract.py", "handlers.py", "web.py", "main.py")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("class", "a keyword of Python"),
        ("my-service", "lower-case letters"),
        ("my service", "lower-case letters"),
        ("Memo", "lower-case letters"),
        ("2memo", "lower-case letters"),
        ("mémo", "lower-case letters"),
        ("../memo", "lower-case letters"),
        ("memo\n", "lower-case letters"),
        ("", "lower-case letters"),
        (LONGEST + "a", "up to 31"),
        ("reply", "reply queues"),
        ("order_replies", "reply queues"),
        ("tests", "is taken: a Python package"),
        ("bus", "is taken: a Python package"),
        ("auth", "is taken: a Python package"),
        ("email", "is taken: a Python package"),
    ],
)
def test_a_name_that_cannot_work_is_refused_and_nothing_written(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InvalidName, match=reason) as refused:
        write_skeleton(name, tmp_path, 5002)
    assert _is_one_sentence(str(refused.value))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "memo").mkdir()
    with pytest.raises(FileExistsError, match="exists already") as refused:
        write_skeleton("memo", tmp_path, 5002)
    assert _is_one_sentence(str(refused.value))
    assert list((tmp_path / "memo").iterdir()) == []


@pytest.mark.parametrize("name", ["class", "my-service", "auth"])
def test_the_command_line_says_so_without_a_trace(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(bus, ["new", name, "--into", str(tmp_path)])
    assert result.exit_code == 2
    (line,) = (line for line in result.output.splitlines() if line.startswith("Error: "))
    assert _is_one_sentence(line)


@pytest.mark.parametrize("name", AWKWARD)
def test_everything_is_filled_in(tmp_path: Path, name: str) -> None:
    folder = write_skeleton(name, tmp_path, 5077)
    assert (folder / name / "contract.py").exists()
    assert (folder / "tests" / f"test_{name}.py").exists()
    for file in folder.rglob("*"):
        assert "$" not in file.name
        assert file.is_dir() or file.suffix == ".mako" or "$" not in file.read_text()
    assert f'Service("{name}")' in (folder / name / "handlers.py").read_text()
    assert "port=5077" in (folder / name / "main.py").read_text()


def test_the_longest_name_keeps_lines_short_enough_for_the_linter(tmp_path: Path) -> None:
    for file in write_skeleton(LONGEST, tmp_path, 65535).rglob("*.py"):
        assert max(map(len, file.read_text().splitlines()), default=0) <= 120, file


def test_each_service_gets_the_next_port_that_no_other_has(tmp_path: Path) -> None:
    for name in ("memo", "shelf", "desk"):
        assert CliRunner().invoke(bus, ["new", name, "--into", str(tmp_path)]).exit_code == 0
    ports = [
        int((tmp_path / name / name / "main.py").read_text().split("port=")[1][:4])
        for name in ("memo", "shelf", "desk")
    ]
    assert ports == [FIRST_PORT, FIRST_PORT + 1, FIRST_PORT + 2]


@pytest.mark.parametrize("name", AWKWARD)
def test_no_name_hides_another(tmp_path: Path, name: str) -> None:
    folder = write_skeleton(name, tmp_path, 5002)
    for file in folder.rglob("*.py"):
        bound = _bound_names(ast.parse(file.read_text()))
        assert len(bound) == len(set(bound)), file


def test_the_entry_point_names_the_application(tmp_path: Path) -> None:
    project = tomllib.loads((write_skeleton("memo", tmp_path, 5002) / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["bus.services"] == {"memo": "memo.main:application"}


def test_what_an_author_writes_is_under_sixty_lines(tmp_path: Path) -> None:
    package = write_skeleton("memo", tmp_path, 5002) / "memo"
    assert sum(_lines_of_code(package / name) for name in AUTHORS_FILES) < 60


def _is_one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text


def _bound_names(module: ast.Module) -> list[str]:
    """What a module's imports, assignments and definitions call things."""
    names: list[str] = []
    for statement in module.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            names += [alias.asname or alias.name for alias in statement.names]
        elif isinstance(statement, ast.Assign):
            names += [target.id for target in statement.targets if isinstance(target, ast.Name)]
        elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            names.append(statement.name)
    return names


def _lines_of_code(file: Path) -> int:
    """The lines that are neither empty, nor a comment, nor a docstring (all of ours are one line)."""
    return sum(not re.fullmatch(r'\s*(#.*|""".*""")?', line) for line in file.read_text().splitlines())
