"""The unsealer: opens seals, and does not load the database for unknown keys."""

from typing import Any

import pytest

from auth.contract import Register
from bus.contract.problems import Invalid
from bus.database.trouble import DatabaseUnavailable
from bus.security import unsealer as module
from bus.security.keys import KeyPair
from bus.security.seal import seal
from bus.security.unsealer import Unsealer

PAIR = KeyPair.new()
ANN = {"username": "ann", "email": "ann@example.com"}


class Keys:
    """The keys in the database, and how often they were read."""

    def __init__(self, *pairs: KeyPair) -> None:
        self.pairs = {pair.kid: pair for pair in pairs}
        self.reads = 0
        self.away = False

    def __call__(self) -> dict[str, KeyPair]:
        self.reads += 1
        if self.away:
            raise DatabaseUnavailable("away")
        return dict(self.pairs)


class Clock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def _sealed(secrets: bytes = b'{"password": "correct horse"}', pair: KeyPair = PAIR) -> dict[str, Any]:
    return {**ANN, "sealed": seal(secrets, "auth.register", pair.kid, pair.public_jwk)}


def _refusal_of(unsealer: Unsealer, fields: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as refused:
        unsealer.open(Register, fields)
    assert refused.value.problem.status == 422
    assert refused.value.problem.errors[0].code == refused.value.problem.code
    return refused.value.problem.code


def test_sealed_secrets_take_their_place_among_the_fields() -> None:
    assert Unsealer(Keys(PAIR)).open(Register, _sealed()) == {**ANN, "password": "correct horse"}


def test_plain_secrets_are_taken_too_unless_seals_are_required() -> None:
    plain = {**ANN, "password": "correct horse"}
    assert Unsealer(Keys()).open(Register, plain) == plain
    assert _refusal_of(Unsealer(Keys(PAIR), required=True), plain) == "sealing-required"
    assert Unsealer(Keys(PAIR), required=True).open(Register, _sealed())["password"] == "correct horse"


def test_a_request_without_its_secret_is_left_to_validation() -> None:
    assert Unsealer(Keys(), required=True).open(Register, ANN) == ANN


def test_a_field_that_is_not_secret_cannot_be_sealed() -> None:
    assert _refusal_of(Unsealer(Keys(PAIR)), _sealed(b'{"password": "x", "role": "admin"}')) == "unsealable"
    assert _refusal_of(Unsealer(Keys(PAIR)), _sealed(b'{"username": "eve"}')) == "unsealable"


def test_a_field_cannot_be_given_both_sealed_and_plain() -> None:
    assert _refusal_of(Unsealer(Keys(PAIR)), {**_sealed(), "password": "correct horse"}) == "unsealable"


def test_an_unknown_key_has_its_own_code() -> None:
    assert _refusal_of(Unsealer(Keys()), _sealed()) == "unknown-sealing-key"


def test_many_unknown_keys_cost_one_read_a_second(clock: Clock) -> None:
    keys = Keys(PAIR)
    unsealer = Unsealer(keys)
    for _ in range(20):
        assert _refusal_of(unsealer, _sealed(pair=KeyPair.new())) == "unknown-sealing-key"
    assert keys.reads == 1
    clock.now += module.UNKNOWN_SECONDS + 0.1
    assert _refusal_of(unsealer, _sealed(pair=KeyPair.new())) == "unknown-sealing-key"
    assert keys.reads == 2


def test_a_known_key_costs_no_read(clock: Clock) -> None:
    keys = Keys(PAIR)
    unsealer = Unsealer(keys)
    for _ in range(20):
        unsealer.open(Register, _sealed())
        clock.now += 1.0
    assert keys.reads == 1


def test_a_key_made_meanwhile_is_found(clock: Clock) -> None:
    keys, new = Keys(PAIR), KeyPair.new()
    unsealer = Unsealer(keys)
    unsealer.open(Register, _sealed())
    keys.pairs[new.kid] = new
    clock.now += module.UNKNOWN_SECONDS + 0.1
    assert unsealer.open(Register, _sealed(pair=new))["password"] == "correct horse"


def test_a_key_that_was_deleted_is_forgotten(clock: Clock) -> None:
    keys = Keys(PAIR)
    unsealer = Unsealer(keys)
    unsealer.open(Register, _sealed())
    keys.pairs.clear()
    clock.now += module.KNOWN_SECONDS + 0.1
    assert _refusal_of(unsealer, _sealed()) == "unknown-sealing-key"


def test_an_unavailable_database_is_no_fault_of_the_request() -> None:
    keys = Keys(PAIR)
    keys.away = True
    unsealer = Unsealer(keys)
    with pytest.raises(DatabaseUnavailable):
        unsealer.open(Register, _sealed())
    keys.away = False
    assert unsealer.open(Register, _sealed())
