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


def _sealed(pair: KeyPair = PAIR, message_id: str | None = None, **others: str) -> dict[str, Any]:
    request = {**ANN, "password": "correct horse", **others}
    content = {"request": request} if message_id is None else {"request": request, "message_id": message_id}
    return {**ANN, "sealed": seal(content, "auth.register", pair.kid, pair.public_jwk)}


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


def test_a_seal_is_good_only_beside_the_fields_that_it_was_made_for() -> None:
    for fields in (
        _sealed(username="eve"),
        _sealed(role="admin"),
        {**_sealed(), "username": "eve"},
        {**_sealed(), "role": "admin"},
        {**_sealed(), "password": "correct horse"},
        {"sealed": _sealed()["sealed"], "username": "ann"},
    ):
        assert _refusal_of(Unsealer(Keys(PAIR)), fields) == "unsealable"


def test_a_seal_is_good_only_for_its_message_id_if_it_has_one() -> None:
    unsealer = Unsealer(Keys(PAIR))
    assert unsealer.open(Register, _sealed(message_id="1"), "1")["password"] == "correct horse"
    assert unsealer.open(Register, _sealed(), "2")["password"] == "correct horse"
    for other in ("2", None):
        with pytest.raises(Invalid, match="another message id"):
            unsealer.open(Register, _sealed(message_id="1"), other)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"token": "abc"},
        {**ANN, "password": "correct horse"},
        {"request": "correct horse"},
        {"request": {**ANN, "password": "correct horse"}, "message_id": 7},
        {"request": {**ANN, "password": "correct horse"}, "message_id": None},
        {"request": {**ANN, "password": "correct horse"}, "token": "abc"},
    ],
)
def test_a_seal_of_other_members_is_refused(content: dict[str, Any]) -> None:
    sealed = seal(content, "auth.register", PAIR.kid, PAIR.public_jwk)
    with pytest.raises(Invalid) as refused:
        Unsealer(Keys(PAIR)).open(Register, {**ANN, "sealed": sealed}, "1")
    assert refused.value.problem.code == "unsealable"


def test_refused_seals_are_counted_and_beyond_a_rate_no_reason_is_given(clock: Clock) -> None:
    unsealer = Unsealer(Keys(PAIR))
    forged = {**_sealed(), "username": "eve"}
    for _ in range(module.REFUSALS_PER_SECOND):
        assert _refusal_of(unsealer, forged) == "unsealable"
    with pytest.raises(Invalid) as refused:
        unsealer.open(Register, forged)
    assert (refused.value.problem.code, refused.value.problem.status) == ("too-many-unsealable", 429)
    assert unsealer.refused == module.REFUSALS_PER_SECOND + 1
    assert unsealer.open(Register, _sealed()), "a good seal is opened all the same"
    clock.now += 1.0
    assert _refusal_of(unsealer, forged) == "unsealable"


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
