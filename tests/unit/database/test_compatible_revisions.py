"""A release works with a database that the next one has migrated, if that one's revisions say so."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from bus.database.engine import Database
from bus.database.migrate import NotMigrated, _History, check_migrated, migrate

HISTORY = "shelf_history"
REVISION = """
from alembic import op

revision = "{number:04}"
down_revision = {before!r}
{mark}

def upgrade():
    op.execute("CREATE TABLE t{number} (id INTEGER)")
"""
ENVIRONMENT = """
from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
"""

Release = Callable[..., None]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database, of both kinds in turn."""
    sqlite = request.param == "sqlite"
    return Database(f"sqlite:///{tmp_path}/empty.db" if sqlite else request.getfixturevalue("database_url"))


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Make a release current: one whose history has a revision for each argument, True if it is compatible."""
    versions = tmp_path / HISTORY / "versions"
    versions.mkdir(parents=True)
    (tmp_path / HISTORY / "__init__.py").touch()
    (tmp_path / HISTORY / "env.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, HISTORY, raising=False)  # that of another test

    def make(*compatible: bool) -> None:
        for file in versions.glob("*.py"):
            file.unlink()
        for number, is_compatible in enumerate(compatible, 1):
            before = f"{number - 1:04}" if number > 1 else None
            text = REVISION.format(number=number, before=before, mark=f"compatible = {is_compatible}")
            (versions / f"{number:04}_made.py").write_text(dedent(text))

    return make


@pytest.mark.parametrize("ahead", [(True,), (True, True)])
def test_a_release_works_with_the_compatible_revisions_of_later_ones(
    empty: Database, release: Release, ahead: tuple[bool, ...]
) -> None:
    release(False, False, *ahead)
    newest = migrate(empty, HISTORY)
    release(False, False)
    check_migrated(empty, HISTORY)
    assert migrate(empty, HISTORY) == newest, "a release that is brought back changes nothing"
    check_migrated(empty, HISTORY)
    release(False)
    with pytest.raises(NotMigrated, match=f"at revision {newest} of {HISTORY}, not 0001"):
        check_migrated(empty, HISTORY)


def test_a_revision_is_incompatible_unless_it_says_otherwise(empty: Database, release: Release) -> None:
    release(False)
    migrate(empty, HISTORY)
    release(False, True)
    migrate(empty, HISTORY)
    release(False, True, False, True)
    migrate(empty, HISTORY)
    for older in ((False,), (False, True)):
        release(*older)
        with pytest.raises(NotMigrated, match=f"at revision 0004 of {HISTORY}"):
            check_migrated(empty, HISTORY)
        with pytest.raises(NotMigrated, match=r"cannot be run: .*newer release"):
            migrate(empty, HISTORY)
    release(False, True, False)
    check_migrated(empty, HISTORY)


def test_a_database_that_is_behind_is_migrated_first(empty: Database, release: Release) -> None:
    release(False)
    migrate(empty, HISTORY)
    release(False, True)
    with pytest.raises(NotMigrated, match="at revision 0001"):
        check_migrated(empty, HISTORY)


@pytest.mark.parametrize("package", ["bus.database.migrations", "auth.migrations", "catalog.migrations"])
def test_what_is_marked_compatible_takes_nothing_away(tmp_path: Path, package: str) -> None:
    """It adds tables, and to tables that exist only columns that may be left out, and rules only about such columns."""
    database = Database(f"sqlite:///{tmp_path}/steps.db")
    history = _History(package, import_module("bus.database.migrations").VERSION_TABLE)
    scripts = list(ScriptDirectory.from_config(history.config).walk_revisions())[::-1]
    for script in scripts:
        with database.transaction() as transaction:
            transaction.connection.begin()
            before = _shape(inspect(transaction.connection))
            config = history.config
            config.attributes["connection"] = transaction.connection
            command.upgrade(config, script.revision)
            after = _shape(inspect(transaction.connection))
        if getattr(script.module, "compatible", False):
            assert script.down_revision, f"{script.path}: a first revision has no release before it"
            assert _taken_away(before, after) == [], script.path


class _Unique(str):
    """A unique index, as text, and its columns."""

    columns: list[str]

    def __new__(cls, text: str, columns: list[str]) -> "_Unique":
        made = super().__new__(cls, text)
        made.columns = columns
        return made


def _shape(view: Any) -> dict[str, Any]:
    """Of each table its columns, and its rules."""
    return {
        name: (
            {column["name"]: column for column in view.get_columns(name)},
            [
                *(str(each) for each in view.get_unique_constraints(name)),
                *(str(each) for each in view.get_check_constraints(name)),
                *(str(each) for each in view.get_foreign_keys(name)),
                *(_Unique(str(each), each["column_names"]) for each in view.get_indexes(name) if each["unique"]),
                str(view.get_pk_constraint(name)),
            ],
        )
        for name in view.get_table_names()
    }


def _taken_away(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = [f"no table {name}" for name in before.keys() - after.keys()]
    for name in before.keys() & after.keys():
        (old, old_rules), (new, new_rules) = before[name], after[name]
        found += [f"no column {name}.{column}" for column in old.keys() - new.keys()]
        found += [f"another {name}.{each}" for each in old.keys() & new.keys() if str(old[each]) != str(new[each])]
        found += [
            f"{name}.{each} must be given"
            for each in new.keys() - old.keys()
            if not new[each]["nullable"] and new[each]["default"] is None
        ]
        # Without a value for a column that it does not know, the older release breaks no unique index of such columns.
        unknown = {each for each in new.keys() - old.keys() if new[each]["nullable"] and new[each]["default"] is None}
        found += [
            f"a new rule of {name}: {rule}"
            for rule in new_rules
            if rule not in old_rules and not (isinstance(rule, _Unique) and unknown.issuperset(rule.columns))
        ]
    return found


def test_a_revision_that_takes_something_away_would_be_seen() -> None:
    column = {"name": "a", "nullable": False, "default": None}
    before = {"t": ({"a": column, "b": column}, []), "u": ({}, [])}
    after = {"t": ({"a": {**column, "nullable": True}, "c": column}, ["unique"])}
    assert len(_taken_away(before, after)) == 5


@pytest.mark.parametrize(("columns", "faults"), [(["c"], 0), (["a"], 1), (["a", "c"], 1), (["d"], 1)])
def test_a_unique_index_is_no_new_rule_for_a_release_that_leaves_its_columns_empty(
    columns: list[str], faults: int
) -> None:
    column = {"name": "a", "nullable": True, "default": None}
    index = _Unique("unique", columns)
    after = {"t": ({"a": column, "c": column, "d": {**column, "default": "1"}}, [index])}
    assert len(_taken_away({"t": ({"a": column}, [])}, after)) == faults
