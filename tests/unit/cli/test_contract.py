"""`bus contract check`: the stored documents match the contract, or the differences are printed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bus.cli import bus

STORED = Path(__file__).parents[3] / "docs" / "contract"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the stored documents, to be changed."""
    return Path(shutil.copytree(STORED, tmp_path / "contract"))


@pytest.mark.parametrize("service", ["auth", "catalog"])
def test_the_stored_documents_match_the_contract(service: str) -> None:
    result = _check(service, STORED)
    assert (result.output, result.exit_code) == ("", 0)


def test_a_compatible_difference_asks_for_new_documents(folder: Path) -> None:
    _change(folder / "auth.openapi.json", lambda document: document["info"].update(version="0.0.1"))
    result = _check("auth", folder)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "compatible: callers and listeners of auth need no change.",
        f"Update the documents: bus contract openapi auth --output {folder / 'auth.openapi.json'}",
    ]


def test_an_incompatible_difference_says_what_is_lost(folder: Path) -> None:
    _add_a_field(folder)
    result = _check("catalog", folder)
    assert result.exit_code == 1
    first, *rest = result.output.splitlines()
    assert first == "incompatible: catalog.product_removed: event /colour is no longer sent"
    assert rest == [
        "If this is intended, update the documents: "
        f"bus contract asyncapi catalog --output {folder / 'catalog.asyncapi.json'}"
    ]


def test_json_has_the_same(folder: Path) -> None:
    lost = {"operation": "catalog.product_removed", "field": "event /colour", "loses": "is no longer sent"}
    assert json.loads(_check("catalog", folder, "--json").output) == {
        "equal": True, "differing": [], "incompatible": []
    }  # fmt: skip
    _add_a_field(folder)
    result = _check("catalog", folder, "--json")
    assert json.loads(result.output) == {"equal": False, "differing": ["asyncapi"], "incompatible": [lost]}
    assert result.exit_code == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"openapi"', '{"openapi": "3.1.0"}'])
def test_a_damaged_document_is_a_mistake_in_one_sentence(folder: Path, text: str) -> None:
    (folder / "auth.openapi.json").write_text(text)
    result = _check("auth", folder)
    assert result.exit_code == 2
    (error,) = (line for line in result.output.splitlines() if line.startswith("Error: "))
    assert error.startswith(f"Error: {folder}: ")
    assert error.endswith(".")


def test_a_missing_document_is_an_error_with_the_command_that_creates_it(folder: Path) -> None:
    (folder / "auth.asyncapi.json").unlink()
    result = _check("auth", folder)
    assert result.exit_code == 2
    assert "auth.asyncapi.json is missing. Create it: bus contract asyncapi auth --output" in result.output


def test_the_printed_command_updates_the_documents(folder: Path) -> None:
    _add_a_field(folder)
    *_, advice = _check("catalog", folder).output.splitlines()
    command = advice.partition("the documents: bus ")[2]
    assert CliRunner().invoke(bus, command.split()).exit_code == 0
    assert _check("catalog", folder).exit_code == 0


def _check(service: str, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(bus, ["contract", "check", service, "--against", str(folder), *options])


def _add_a_field(folder: Path) -> None:
    """Add a field to a stored document, as if the contract had just lost it."""

    def add(document: Any) -> None:
        removed = document["components"]["schemas"]["ProductRemoved"]
        removed["properties"]["colour"] = {"type": "string"}

    _change(folder / "catalog.asyncapi.json", add)


def _change(file: Path, change: Any) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
