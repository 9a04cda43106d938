"""A worker whose clock is months ahead: ages and ends are decided by the database's clock, so it deletes nothing."""

import sys
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import pytest
from sqlalchemy import func, insert, select, true

from auth.contract.accounts import TooManyTries
from auth.domain.throttling import MAILS
from auth.handlers import clearing, mails
from auth.handlers.service import auth
from auth.storage.mails import ask, take
from auth.storage.throttle import check_wait, count
from auth.tables import mail, session, throttle, user
from bus.contract.identity import ANONYMOUS
from bus.contract.operator.actions import ActionBusy
from bus.contract.operator.dead_letters import DeadLetterFilter
from bus.database.actions import claim_lease
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.database.tables import inbox
from bus.dead_letters.taking import take as take_letters
from bus.security.key_store import rotate
from bus.service.work import Work
from bus.worker.background.retention import Retention

AHEAD = timedelta(days=100)


class Wrong(datetime):
    """The class `datetime` on a machine whose clock is wrong."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + AHEAD


@pytest.fixture
def database(database_url: str) -> Database:
    database = Database(database_url)
    migrate(database, "auth.migrations")
    return database


def test_it_deletes_and_takes_nothing_before_its_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of the inbox without which the same key would make a second product, among others."""
    row = {"caller": "a", "operation": "a.b", "digest": b"", "status": 200, "location": "", "reply": b"{}"}
    person = {"username": "a", "username_key": "a", "email": "a@b.c", "email_key": "a@b.c", "password_hash": "x"}
    with database.transaction() as transaction:
        connection = transaction.connection
        connection.execute(insert(inbox).values(**row, message_id="1"))
        user_id = connection.execute(insert(user).values(person).returning(user.c.id)).scalar_one()
        begun = {"created_at": datetime.now(UTC), "last_used_at": datetime.now(UTC)}
        connection.execute(insert(session).values(id="s", user_id=user_id, device="", **begun))
        ask(connection, "taken", "a@b.c")
        assert take(connection) is not None
        for _ in range(MAILS.free + 1):
            count(connection, [("name", MAILS)])
        action, _ = take_letters(connection, "replay", "me", DeadLetterFilter(state="dead"), true(), 1, "")
        claim_lease(connection, action, "another")
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("auth", "bus") and getattr(module, "datetime", None) is datetime:
            monkeypatch.setattr(module, "datetime", Wrong)

    rotate(database)
    Retention("auth", database, keep_days=7).run_once()
    with database.transaction() as transaction:
        work, connection = Work(transaction, ANONYMOUS, auth.name), transaction.connection
        for clear in (clearing.clear_throttles, clearing.end_old_sessions, mails.purge_mails):
            clear(work)
        tables = (inbox, session, mail, throttle)
        assert take(connection) is None, "another worker is sending it"
        counts = [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]
        with pytest.raises(TooManyTries):
            check_wait(connection, [("name", MAILS)])
        with pytest.raises(ActionBusy):
            claim_lease(connection, action, "me")
    assert counts == [1, 1, 1, 1]
    database.close()
