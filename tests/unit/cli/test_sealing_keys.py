"""`bus sealing-keys`: what an operator does with the keys."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from bus.cli import bus
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.security.key_store import kept_keys, prepare_key, rotate
from bus.security.keys import KeyPair
from catalog.handlers import catalog


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """auth's database, where the commands find it."""
    monkeypatch.setenv("AUTH_DATABASE_URL", f"sqlite:///{tmp_path}/auth.db")
    database = Database(f"sqlite:///{tmp_path}/auth.db")
    migrate(database, "auth.migrations")
    prepare_key(database)
    return database


def _run(*command: str) -> Result:
    return CliRunner().invoke(bus, ["sealing-keys", *command])


def test_a_rotation_prints_the_new_key(accounts: Database) -> None:
    (old,) = kept_keys(accounts)
    ran = _run("rotate", "auth")
    assert ran.exit_code == 0
    assert [key.kid for key in kept_keys(accounts)] == [ran.output.strip(), old.kid]


def test_the_list_tells_which_key_is_given_out_and_no_private_half(accounts: Database) -> None:
    new = rotate(accounts)
    lines = _run("list", "auth").output.splitlines()
    assert lines[0].startswith(new)
    assert [line.rstrip().endswith("given out") for line in lines] == [True, False]
    listed = json.loads(_run("list", "auth", "--json").output)
    assert [key.keys() for key in listed] == [{"kid", "made_at", "retired_at"}] * 2
    assert listed[0]["retired_at"] is None


def test_a_retired_key_is_forgotten_and_the_one_in_use_is_not(accounts: Database) -> None:
    (old,) = kept_keys(accounts)
    refused = _run("forget", "auth", old.kid)
    assert (refused.exit_code, "Rotate first" in refused.output) == (2, True)
    rotate(accounts)
    assert _run("forget", "auth", old.kid).exit_code == 0
    assert old.kid not in [key.kid for key in kept_keys(accounts)]


def test_a_key_whose_id_begins_with_a_dash_is_forgotten_too(accounts: Database) -> None:
    dashed = next(pair for pair in iter(KeyPair.new, None) if pair.kid.startswith("-"))
    with patch.object(KeyPair, "new", lambda: dashed):
        rotate(accounts)
    assert "Rotate first" in _run("forget", "auth", dashed.kid).output
    rotate(accounts)
    assert _run("forget", "auth", dashed.kid).exit_code == 0
    assert dashed.kid not in [key.kid for key in kept_keys(accounts)]


def test_a_key_that_is_not_there_and_a_service_without_secrets_are_told(
    accounts: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no key nothing." in _run("forget", "auth", "nothing").output
    assert "There is no key -9h." in _run("forget", "auth", "-9h").output
    monkeypatch.setattr(catalog, "takes_secrets", False)
    assert "has no sealing keys" in _run("rotate", "catalog").output
    assert "There is no service 'shop'" in _run("list", "shop").output
