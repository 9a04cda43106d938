"""`bus auth import`: killed and started again, no account is missing, none is there twice, and old passwords log in."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from subprocess import PIPE, Popen

import bcrypt
import pytest
from sqlalchemy import func, insert, select

from auth.contract import LogIn
from auth.domain.passwords import hash_password
from auth.tables import user
from bus.client.retrying import RetryingClient
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.servers.processes import Process
from bus.testing.waiting import wait_until

ROWS = 3_000
WAIT_SECONDS = 120.0
PASSWORD = "correct horse battery staple"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """auth's database, with the administrator `boss`."""
    database = Database(database_url)
    migrate(database, "auth.migrations")
    row = {"username": "boss", "email": "boss@example.org", "password_hash": hash_password(PASSWORD), "roles": "admin"}
    with database.transaction() as transaction:
        keys = {"username_key": row["username"], "email_key": row["email"]}
        transaction.connection.execute(insert(user), {**row, **keys})
    yield database
    database.close()


def test_an_import_that_is_killed_goes_on_and_old_passwords_log_in(
    broker_url: str, database_url: str, database: Database, tmp_path: Path
) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    rows = "".join(f"ann{number},ann{number}@example.org,{old}\n" for number in range(ROWS))
    costly = old.replace("$04$", "$15$")
    file = tmp_path / "users.csv"
    file.write_text(f"username,email,password_hash\n{rows}ANN7,7@example.org,{old}\nbob,bob@example.org,{costly}\n")
    environment = {**os.environ, "BUS_URL": broker_url, "LOG_LEVEL": "warning"}
    worker = Process(
        "import-worker",
        (sys.executable, "-m", "bus.cli", "worker", "auth"),
        tmp_path,
        {**environment, "AUTH_DATABASE_URL": database_url},
    )
    worker.start()
    try:
        with RetryingClient(broker_url, name="test") as client:
            token = client.call(LogIn(login="boss", password=PASSWORD)).access_token
            command = [sys.executable, "-m", "bus.cli", "auth", "import", str(file), "--token", token]
            killed = Popen(command, env=environment, stdout=PIPE, stderr=PIPE, text=True)
            wait_until(lambda: _count(database) > ROWS // 6, WAIT_SECONDS, "some accounts are there")
            killed.kill()
            killed.communicate(timeout=WAIT_SECONDS)
            assert _count(database) < ROWS
            again = Popen(command, env=environment, stdout=PIPE, stderr=PIPE, text=True)
            printed, errors = again.communicate(timeout=WAIT_SECONDS)
            assert (again.returncode, _count(database)) == (1, ROWS + 1)
            assert "done by an earlier start of this import, 2 with faults." in printed
            assert errors.splitlines() == [
                f"line {ROWS + 3}: password_hash: Its cost is 15. It must be from 1 to 14.",
                f"line {ROWS + 2}: Another user has this user name.",
            ]
            for number in (0, ROWS - 1):
                login = LogIn(login=f"ann{number}", password=PASSWORD)
                assert client.call(login).user.email == f"ann{number}@example.org"
    finally:
        worker.stop(SIGTERM)


def _count(database: Database) -> int:
    with database.reading() as transaction:
        return int(transaction.connection.execute(select(func.count()).select_from(user)).scalar_one())
