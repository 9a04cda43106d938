"""The tables of Python names in docs/auth.md and docs/catalog.md have the classes of the contracts."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import auth.contract
import bus
import catalog.contract
from bus.contract.operations import Operation

DOCS = Path(__file__).parents[2] / "docs"
CONTRACTS = (auth.contract, catalog.contract)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_page_of_a_service_names_all_operations_and_events_of_its_contract(contract: ModuleType) -> None:
    page = DOCS / f"{contract.__name__.partition('.')[0]}.md"
    operations = [_operation_row(each) for each in _classes(contract, Operation)]
    events = [(f"`{each.operation_name}`", f"`{each.__name__}`") for each in _classes(contract, bus.Event)]
    for table in (
        _table(("Route", "Operation", "Class", "Reply", "Refusals"), operations),
        _table(("Event", "Class"), events),
    ):
        assert table in page.read_text(encoding="utf-8"), f"{page} needs this table:\n{table}"


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_classes_that_it_names_can_be_imported(contract: ModuleType) -> None:
    for operation in _classes(contract, Operation):
        for each in (operation, operation.reply_type, *operation.refusals.values()):
            public = bus if each.__module__.startswith("bus.") else contract
            assert getattr(public, each.__name__) is each


def _classes(contract: ModuleType, kind: type) -> list[Any]:
    return [each for each in vars(contract).values() if inspect.isclass(each) and issubclass(each, kind)]


def _operation_row(cls: type[Operation[Any]]) -> tuple[str, ...]:
    refusals = ", ".join(f"{each.status} `{each.__name__}`" for each in cls.refusals.values())
    return f"`{cls.http}`", f"`{cls.operation_name}`", f"`{cls.__name__}`", f"`{cls.reply_type.__name__}`", refusals


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
