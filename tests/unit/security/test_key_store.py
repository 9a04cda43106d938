"""Sealing keys: one is given out, and those before it still open."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from bus.database.engine import Database
from bus.database.tables import sealing_key
from bus.security.key_store import KeyInUse, KeyNotFound, current_key, forget, kept_keys, prepare_key, read_keys, rotate
from bus.security.keys import KeyPair

WORKERS = 8
# Longer than any of these tests takes: here time passes when it is told to.
SETTLE_SECONDS = 3600.0


@pytest.fixture(autouse=True)
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.security.key_store.SETTLE_SECONDS", SETTLE_SECONDS)


def _current(database: Database) -> KeyPair:
    with database.reading() as transaction:
        return current_key(transaction.connection)


def _let_time_pass(database: Database) -> None:
    """As if all keys had been made a moment earlier."""
    with database.transaction() as transaction:
        earlier = {key.kid: key.made_at - timedelta(seconds=SETTLE_SECONDS) for key in kept_keys(database)}
        for kid, made_at in earlier.items():
            transaction.connection.execute(update(sealing_key).where(sealing_key.c.kid == kid).values(made_at=made_at))


def test_the_first_key_is_made_once(database: Database) -> None:
    prepare_key(database)
    prepare_key(database)
    (key,) = kept_keys(database)
    assert key.retired_at is None
    assert _current(database).kid == key.kid


def test_who_asks_first_gets_a_key_too(database: Database) -> None:
    assert _current(database).kid == _current(database).kid


def test_workers_that_start_at_the_same_moment_agree_on_one_key(database: Database) -> None:
    together = threading.Barrier(WORKERS)

    def start(_: int) -> str:
        together.wait()
        prepare_key(database)
        return _current(database).kid

    with ThreadPoolExecutor(WORKERS) as workers:
        kids = set(workers.map(start, range(WORKERS)))
    assert kids == {key.kid for key in kept_keys(database)}
    assert len(kids) == 1


def test_a_database_that_is_away_stops_no_start() -> None:
    prepare_key(Database("postgresql://nobody@127.0.0.1:1/nothing"))


def test_after_a_rotation_the_new_key_is_given_out_and_the_old_one_kept(database: Database) -> None:
    old = _current(database).kid
    _let_time_pass(database)
    new = rotate(database)
    _let_time_pass(database)
    assert _current(database).kid == new != old
    assert [(key.kid, key.retired_at is None) for key in kept_keys(database)] == [(new, True), (old, False)]
    assert read_keys(database).keys() == {old, new}


def test_a_new_key_is_given_out_only_when_every_worker_can_find_it(database: Database) -> None:
    """A worker that has just looked for a key in vain does not look again for a second."""
    old = _current(database).kid
    _let_time_pass(database)
    new = rotate(database)
    assert _current(database).kid == old
    _let_time_pass(database)
    assert _current(database).kid == new


def test_rotations_at_the_same_moment_leave_one_key_in_use(database: Database) -> None:
    prepare_key(database)
    with ThreadPoolExecutor(WORKERS) as operators:
        list(operators.map(lambda _: rotate(database), range(WORKERS)))
    newest, *others = kept_keys(database)
    assert newest.retired_at is None
    assert all(key.retired_at for key in others)


def test_a_retired_key_can_be_deleted(database: Database) -> None:
    old = _current(database).kid
    new = rotate(database)
    forget(database, old)
    assert read_keys(database).keys() == {new}
    assert _current(database).kid == new


def test_neither_the_key_in_use_nor_one_that_is_not_there_can_be_deleted(database: Database) -> None:
    with pytest.raises(KeyInUse):
        forget(database, _current(database).kid)
    with pytest.raises(KeyNotFound):
        forget(database, "none")
    assert len(kept_keys(database)) == 1
