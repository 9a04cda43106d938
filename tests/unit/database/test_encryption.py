"""The keys of a database: made once, asked for before anything is written, and exchanged while it is used."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from auth.tables import totp, user
from bus.cli import bus
from bus.database import reencryption
from bus.database.encryption import DatabaseKeyError, DatabaseKeys, new_key
from bus.database.engine import Database
from bus.database.migrate import check_migrated, migrate, tables_of
from bus.runtime.doctor.databases import database_findings
from bus.security.key_store import identity, prepare_key, read_keys, rotate
from bus.service.application import installed_applications

OLD, NEW = new_key(), new_key()
DOCUMENT = Path(__file__).parents[3] / "docs" / "databases.md"
SETTING = "AUTH_DATABASE_KEY"


def _open(folder: Path, keys: DatabaseKeys) -> Database:
    return Database(f"sqlite:///{folder}/auth.db", keys=keys)


def _given(text: str) -> DatabaseKeys:
    return DatabaseKeys(SETTING, text)


def _in_file(folder: Path) -> DatabaseKeys:
    return DatabaseKeys(SETTING, file=folder / "auth.key")


def _unchanged(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".db", ".db-wal", ".key")}
    return {name: content for name, content in found.items() if content}


def test_a_new_database_gets_a_key_that_its_user_alone_can_read_and_later_starts_use_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = _open(folder, _in_file(folder))
    migrate(database, "auth.migrations")
    made, thumbprint = (folder / "auth.key").read_text(), identity(database)
    assert (folder / "auth.key").stat().st_mode & 0o777 == 0o600
    migrate(_open(folder, _in_file(folder)), "auth.migrations")
    assert (folder / "auth.key").read_text() == made
    assert identity(_open(folder, _given(made.strip()))) == thumbprint


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (lambda _folder: _given(NEW), ("another key than AUTH_DATABASE_KEY has", "Set it to the key that was used")),
        (_in_file, ("auth.key is missing", "Put back the file", "or set AUTH_DATABASE_KEY")),
        (lambda folder: _in_file(_with_key(folder, NEW)), ("another key than", "auth.key has", "Put back the file")),
        (lambda folder: _in_file(_with_key(folder, "")), ("auth.key cannot be used: it has no keys", "Put back")),
    ],
    ids=["wrong", "missing", "wrong file", "empty file"],
)
def test_with_a_wrong_key_or_none_nothing_starts_and_nothing_is_written(
    tmp_path: Path, keys: object, words: tuple[str, ...]
) -> None:
    database = _open(tmp_path, _given(OLD))
    migrate(database, "auth.migrations")
    database.close()
    wrong = keys(tmp_path)  # type: ignore[operator]
    before = _unchanged(tmp_path)
    for start in (migrate, check_migrated):
        with pytest.raises(DatabaseKeyError) as error:
            start(_open(tmp_path, wrong), "auth.migrations")
        assert [word for word in words if word not in str(error.value)] == []
        assert "\n" not in str(error.value)
    url = f"sqlite:///{tmp_path}/auth.db"
    (finding,) = database_findings(installed_applications()["auth"], url, wrong)
    assert (finding.state, finding.detail) == ("wrong", f"{error.value}.")
    assert _unchanged(tmp_path) == before


def _with_key(folder: Path, text: str) -> Path:
    (folder / "auth.key").write_text(text)
    return folder


def test_a_folder_for_the_key_that_cannot_be_written_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keys = DatabaseKeys(SETTING, file=tmp_path / "file" / "auth.key")
    with pytest.raises(DatabaseKeyError, match=r"cannot be written: .* or set AUTH_DATABASE_KEY$"):
        migrate(_open(tmp_path, keys), "auth.migrations")


def test_what_no_key_decrypts_is_no_secret_that_is_missing(tmp_path: Path) -> None:
    """A worker that runs while the keys of its database are exchanged by mistake says so."""
    first, second = _open(tmp_path, _given(OLD)), _open(tmp_path, _given(NEW))
    migrate(first, "auth.migrations")
    prepare_key(first)
    with pytest.raises(DatabaseKeyError, match="another key than AUTH_DATABASE_KEY has"):
        read_keys(second)


def test_a_key_is_exchanged_while_workers_use_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_url: str
) -> None:
    monkeypatch.setattr(reencryption, "ROWS", 2)  # several pages
    before, both, after = (Database(fresh_url, keys=_given(text)) for text in (OLD, f"{NEW},{OLD}", NEW))
    migrate(before, "auth.migrations")
    _enrol(before, 5)
    for _ in range(3):
        rotate(before)
    thumbprint, keys = identity(before), read_keys(before).keys()
    rotate(both)
    with pytest.raises(DatabaseKeyError):
        read_keys(before)
    # Five secrets, four sealing keys, the identity and the row that shows which key is right.
    assert reencryption.reencrypt(both, tables_of("auth.migrations")) == 5 + 4 + 2
    check_migrated(after, "auth.migrations")
    assert identity(after) == thumbprint
    assert read_keys(after).keys() >= keys
    with after.reading() as transaction:
        found = transaction.connection.execute(select(totp.c.secret).order_by(totp.c.user_id)).scalars().all()
    assert found == ["secret 1", "secret 2", "secret 3", "secret 4", None]
    with pytest.raises(DatabaseKeyError):
        check_migrated(before, "auth.migrations")
    for database in (before, both, after):
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    is_file = request.param == "sqlite"
    return f"sqlite:///{tmp_path}/auth.db" if is_file else str(request.getfixturevalue("database_url"))


def _enrol(database: Database, number: int) -> None:
    """Accounts with a secret, the last one without."""
    with database.transaction() as transaction:
        for each in range(1, number + 1):
            names = dict.fromkeys(("username", "username_key", "email", "email_key"), f"ann{each}")
            transaction.connection.execute(insert(user).values(password_hash="", **names))
            secret = f"secret {each}" if each < number else None
            transaction.connection.execute(insert(totp).values(user_id=each, secret=secret, last_step=0, version=0))


def test_the_commands_make_keys_and_exchange_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", f"sqlite:///{tmp_path}/auth.db")
    first, second = (CliRunner().invoke(bus, ["database-keys", "new"]).output.strip() for _ in range(2))
    assert first != second
    migrate(_open(tmp_path, _given(first)), "auth.migrations")
    monkeypatch.setenv("AUTH_DATABASE_KEY", f"{second},{first}")
    ran = CliRunner().invoke(bus, ["database-keys", "reencrypt", "auth"])
    assert (ran.exit_code, ran.output) == (0, "1 rows with secrets are encrypted with the first key.\n")
    check_migrated(_open(tmp_path, _given(second)), "auth.migrations")


def test_a_database_whose_key_is_lost_is_used_again_with_another(tmp_path: Path) -> None:
    """By the statements of the document."""
    lost = _open(tmp_path, _given(OLD))
    migrate(lost, "auth.migrations")
    prepare_key(lost)
    _enrol(lost, 2)
    (block,) = re.findall(r"^-- Without the key\.(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    statements = [each.strip() for each in block.replace("--", "").partition(":")[2].split(";") if each.strip()]
    assert len(statements) == 5
    with lost.transaction() as transaction:
        for statement in statements:
            transaction.connection.exec_driver_sql(statement)
    database = _open(tmp_path, _given(NEW))
    migrate(database, "auth.migrations")
    check_migrated(database, "auth.migrations")
    assert identity(database)
    with database.reading() as transaction:
        assert transaction.connection.execute(select(totp.c.secret)).scalars().all() == [None, None]
