"""Connections: what ends a start with one sentence, and a file that is removed while it is in use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import insert
from support.example_service import create_tables, word, words_in

from bus.database.connecting import DatabaseUnusable, check_file
from bus.database.engine import Database
from bus.database.migrate import check_migrated, migrate
from bus.database.trouble import DatabaseUnavailable

NOBODY = 65534


def test_a_folder_that_cannot_be_made_is_one_sentence_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", Path("/proc/x")):
        for start in (migrate, check_migrated):
            with pytest.raises(DatabaseUnusable, match=f"^the folder {place} cannot be made: .*DATA_DIR"):
                start(Database(f"sqlite:///{place}/catalog.db"), "catalog.migrations")


def test_a_folder_in_the_place_of_the_file_is_one_sentence_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="is a folder, and not an SQLite database"):
        migrate(Database(f"sqlite:///{tmp_path}"), "catalog.migrations")


@pytest.mark.parametrize("name", ["", "catalog.db", "catalog.db-wal"])
def test_files_of_another_user_are_one_sentence_at_the_start(tmp_path: Path, name: str) -> None:
    for each in (tmp_path / "catalog.db", tmp_path / "catalog.db-wal"):
        each.touch()
        each.chmod(0o666)
    tmp_path.chmod(0o777)
    (tmp_path / name).chmod(0o555 if name == "" else 0o444)
    found = _checked_by_another_user(tmp_path / "catalog.db")
    assert found == f"this user may not write to {(tmp_path / name).absolute()}. Change its owner or its permissions."


def test_a_file_of_our_own_passes(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()
    check_file(tmp_path / "new" / "catalog.db")
    check_file(tmp_path / "catalog.db")


def test_a_database_whose_file_is_removed_is_away_and_is_not_made_again(database: Database) -> None:
    assert database.file is not None
    for file in database.file.parent.glob("test.db*"):
        file.unlink()
    assert not database.answers()
    for open_ in (database.transaction, database.reading):
        with pytest.raises(DatabaseUnavailable, match="removed while it was in use"), open_() as transaction:
            transaction.connection.execute(insert(word).values(word="lost"))
    assert not database.file.exists()


def test_a_file_that_is_put_back_is_used_again_and_another_one_is_too(database: Database, tmp_path: Path) -> None:
    file, kept = tmp_path / "test.db", tmp_path / "kept"
    kept.mkdir()
    for each in tmp_path.glob("test.db*"):
        each.rename(kept / each.name)
    assert not database.answers()
    for each in kept.iterdir():
        each.rename(tmp_path / each.name)
    assert words_in(database) == []
    for each in tmp_path.glob("test.db*"):
        each.unlink()
    backup = Database(f"sqlite:///{tmp_path}/backup.db")
    create_tables(backup)
    with backup.transaction() as transaction:
        transaction.connection.execute(insert(word).values(word="restored"))
    backup.close()
    (tmp_path / "backup.db").rename(file)
    assert words_in(database) == ["restored"]


def _checked_by_another_user(file: Path) -> str:
    """What `check_file` says in a process of a user without privileges; as root it can write everywhere."""
    program = (
        "import os, sys; from pathlib import Path; from bus.database import connecting\n"
        f"os.getuid() or os.setuid({NOBODY})\n"
        "try: connecting.check_file(Path(sys.argv[1]))\n"
        "except connecting.DatabaseUnusable as unusable: print(str(unusable).partition(' Name another')[0])"
    )
    # A folder of pytest's is closed to others: the process is in it already when it gives up its privileges.
    command = [sys.executable, "-c", program, file.name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, check=False, cwd=file.parent, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
