"""What services may import of the library: these names, and no others."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PUBLIC = {
    "bus": [
        "ANONYMOUS",
        "Application",
        "Caller",
        "Client",
        "Command",
        "DecimalRange",
        "Event",
        "FieldError",
        "Invalid",
        "InvalidCursor",
        "Job",
        "JsonWebKeySet",
        "MayBeOpen",
        "MultiLine",
        "OneOf",
        "PageQuery",
        "PastEvent",
        "Problem",
        "Query",
        "READABLE",
        "Refusal",
        "Refused",
        "Reply",
        "ReplyTimeout",
        "RuleViolation",
        "Secret",
        "Service",
        "ServiceToken",
        "Settings",
        "SigningJwk",
        "TransientCommand",
        "Unavailable",
        "VISIBLE",
        "Work",
        "accept",
        "page_after",
        "parse",
    ],
    "bus.columns": ["Encrypted", "Id", "Money", "NOT_READ", "UtcDateTime", "columns_read"],
    "bus.cli": ["bus", "import_file", "import_options", "main", "service_client", "service_work"],
    "bus.database": [
        "Database",
        "RowPage",
        "encrypt_column",
        "find_all",
        "insert_all",
        "lock_all",
        "now",
        "page_of",
        "run_revisions",
        "sql_now",
        "update_all",
        "update_each",
    ],
    "bus.files": [
        "Accepted",
        "Cells",
        "Entry",
        "Fault",
        "FileImport",
        "FileRefused",
        "Row",
        "Skipped",
        "Table",
        "accepted",
        "has_objects",
        "read_objects",
        "read_table",
    ],
    "bus.http": ["front_end", "list_query", "never_blocks", "relay"],
    "bus.security": ["NotAuthorized", "SigningKey", "service_key", "verify"],
    "bus.testing": ["RunningServices", "Servers", "running", "wait_until"],
}

# In a process of its own: this one has loaded everything already.
LOADED = """
import sys
import {contract}
heavy = ("sqlalchemy", "flask", "pika", "kombu", "prometheus_client", "alembic", "granian")
print(*sorted(name for name in sys.modules if name.partition(".")[0] in heavy))
"""


@pytest.mark.parametrize("package", PUBLIC)
def test_a_public_package_exports_exactly_these_names(package: str) -> None:
    module = import_module(package)
    assert sorted(module.__all__) == PUBLIC[package]
    assert all(getattr(module, name) is not None for name in PUBLIC[package])


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Manager'"):
        getattr(import_module("bus"), "Manager")  # noqa: B009  # mypy would refuse the attribute


@pytest.mark.parametrize("contract", ["auth.contract", "catalog.contract", "bus.contract.operations"])
def test_importing_a_contract_loads_no_database_no_web_framework_and_no_broker(contract: str) -> None:
    code = LOADED.format(contract=contract)
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert loaded.stdout.split() == []


def test_importing_the_client_loads_no_database() -> None:
    """Programs that only call have neither its drivers nor its memory."""
    code = LOADED.format(contract="bus.client.client")
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert "sqlalchemy" not in {name.partition(".")[0] for name in loaded.stdout.split()}


@pytest.mark.parametrize(
    "package", ["auth", "catalog", "examples/feed", "examples/orders", "bus/cli/templates/service"]
)
def test_services_import_only_public_names(package: str) -> None:
    files = [
        path for kind in ("*.py", "*.py.tmpl") for path in (ROOT / package).rglob(kind) if "build" not in path.parts
    ]
    assert files
    private = [f"{path.relative_to(ROOT)}: {name}" for path in files for name in _private_imports(path)]
    assert private == []


def _private_imports(path: Path) -> list[str]:
    """What a file imports of `bus` that is not public."""
    text = path.read_text(encoding="utf-8").replace("$NAME", "NAME").replace("$name", "name").replace("$port", "1")
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "bus":
            public = PUBLIC.get(node.module, [])
            found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name not in public]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] == "bus" and "." in alias.name]
    return found
