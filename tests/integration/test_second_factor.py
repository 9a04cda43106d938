"""A second factor from plain messages on the queues, and codes that many transactions use at the same moment."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyotp
import pytest
from sqlalchemy import insert
from support.long_timeouts import use_long_timeouts
from support.plain_publisher import Answer, PlainPublisher
from support.worker_threads import System

from auth.domain.recovery_codes import hash_of
from auth.domain.totp import new_secret
from auth.handlers import auth as auth_service
from auth.storage import second_factor
from auth.tables import recovery_code, user
from bus.database.engine import Database
from bus.database.migrate import migrate

PASSWORD = "correct horse battery staple"
RECOVERY_CODE = "gezd-gnbv-gy3t-qojq"
AT_ONCE = 8


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    migrate(database, "auth.migrations")
    yield database
    database.close()


@pytest.fixture
def publisher(broker_url: str) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


def test_a_second_factor_is_used_from_the_queues(
    broker_url: str, database: Database, publisher: PlainPublisher
) -> None:
    account = {"username": "ann", "email": "ann@example.org", "password": PASSWORD}
    login = {"login": "ann", "password": PASSWORD}
    with System(broker_url) as system:
        system.start(auth_service, database)
        assert publisher.ask("auth.register", account).status == 201
        token = publisher.ask("auth.log_in", login).json["access_token"]

        def ask(operation: str, **fields: str) -> Answer:
            return publisher.ask(f"auth.{operation}", fields, headers={"authorization": f"Bearer {token}"})

        assert publisher.ask("auth.enrol_totp", {}).code == "token-required"
        enrolled = ask("enrol_totp")
        assert enrolled.status == 201
        app = pyotp.TOTP(enrolled.json["secret"])
        confirmed = ask("confirm_totp", code=app.now())
        assert confirmed.status == 200
        codes = confirmed.json["recovery_codes"]
        refused = publisher.ask("auth.log_in", login)
        assert (refused.status, refused.code) == (401, "auth.otp_required")
        otp = app.at(time.time(), counter_offset=1)
        answers = [publisher.ask("auth.log_in", {**login, "otp": each}) for each in (otp, otp, codes[0], codes[0])]
        assert [answer.status for answer in answers] == [200, 401, 200, 401]
        assert ask("introspect", token=answers[0].json["access_token"]).json["username"] == "ann"
        assert (ask("remove_totp").status, publisher.ask("auth.log_in", login).status) == (204, 200)
        assert not system.letters["auth"].has_more()


@pytest.mark.parametrize("kind", ["one-time password", "recovery code"])
def test_of_transactions_at_the_same_moment_one_takes_a_code(database: Database, kind: str) -> None:
    """Without the lock on the account, which a log-in takes before."""
    secret, begin = new_secret(), Barrier(AT_ONCE)
    with database.transaction() as transaction:
        values = {"username": "ann", "username_key": "ann", "email": "", "email_key": "", "password_hash": ""}
        user_id = transaction.connection.execute(insert(user).values(values).returning(user.c.id)).scalar_one()
        second_factor.keep(transaction.connection, user_id, secret)
        transaction.connection.execute(insert(recovery_code).values(user_id=user_id, hash=hash_of(RECOVERY_CODE)))
    code = pyotp.TOTP(secret).now() if kind == "one-time password" else RECOVERY_CODE

    def take(_: int) -> bool:
        with database.transaction() as transaction:
            found = second_factor.find(transaction.connection, user_id)
            begin.wait(30)
            assert found is not None
            return second_factor.take(transaction.connection, found, code)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert list(threads.map(take, range(AT_ONCE))).count(True) == 1
