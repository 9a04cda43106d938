"""The guard: who sent a message, and whether that caller may have its operation carried out."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from msgspec import UNSET, UnsetType, structs
from support.access_tokens import Signer
from support.example_service import Count, Counted, Keep, KeepGuarded, WhoAmI

from bus.contract.builtin import outcome_query_of
from bus.contract.identity import ANONYMOUS, Caller, JsonWebKeySet, NotAuthorized
from bus.contract.operations import Operation, Query
from bus.contract.problems import Invalid, ReplyTimeout, Unavailable
from bus.database.engine import Database
from bus.messaging.call import Call
from bus.messaging.message import Message
from bus.messaging.redelivery import alone, later, original
from bus.messaging.topology import quarantine_queue, retry_queues
from bus.security import token_keys
from bus.security.guard import Guard
from bus.security.key_store import given_out, read_keys
from bus.security.sealer import Sealer
from bus.security.service_keys import LetterKey
from bus.security.token_keys import TokenKeys
from bus.security.unsealer import Unsealer
from bus.worker.admission import admit

SIGNER = Signer()
ANN = Caller(id="17", session="s1", scopes=frozenset(("words:write", "admin")))
OPERATIONS = (Keep, Count, KeepGuarded, WhoAmI, outcome_query_of("example"))
SCOPE = "words:write admin"


def _guard(
    database: Database,
    read: Callable[[], JsonWebKeySet] = lambda: SIGNER.key_set,
    operations: Sequence[type[Operation[Any]]] = OPERATIONS,
    *,
    is_open: bool = False,
    required: bool = False,
) -> Guard:
    def sealing_key() -> Any:
        with database.reading() as transaction:
            return given_out(transaction.connection, "example")

    unsealer = Unsealer(partial(read_keys, database), required=required)
    return Guard(unsealer, TokenKeys(read), LetterKey(database), sealing_key, operations, is_open=is_open)


def _message(authorization: object = None, operation: type[Operation[Any]] = KeepGuarded, **headers: object) -> Message:
    given = {} if authorization is None else {"authorization": authorization}
    return Message(queue=operation.operation_name, body=b"{}", message_id="1", headers={**given, **headers})


def _sealed(database: Database, token: str, operation: type[Operation[Any]] = KeepGuarded) -> str:
    with database.reading() as transaction:
        key = given_out(transaction.connection, "example")
    return Sealer(lambda _service, _deadline: key).sealed_token(operation, token, time.monotonic() + 1)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "sealed"])
def test_a_good_token_names_the_caller_plain_or_sealed(database: Database, scheme: str) -> None:
    token = SIGNER.token(scope=SCOPE)
    given = _sealed(database, token) if scheme == "sealed" else f"{scheme} {token}"
    guard = _guard(database)
    for _ in range(2):  # the second from what it remembers
        assert guard.caller_of(_message(given), KeepGuarded) == ANN


NOT_TOKENS: list[object] = [
    "",
    "Bearer",
    "Bearer ",
    "Basic YTpi",
    "Bearer abc",
    "Bearer " + "a" * 5000,
    b"Bearer x",
    7,
    None,
]


@pytest.mark.parametrize("given", NOT_TOKENS, ids=repr)
def test_what_is_no_token_is_refused_with_a_challenge(database: Database, given: object) -> None:
    headers = {"authorization": given}
    with pytest.raises(NotAuthorized) as refused:
        _guard(database).caller_of(structs.replace(_message(), headers=headers), KeepGuarded)
    assert refused.value.problem.status == 401
    assert refused.value.challenge.startswith('Bearer realm="errand"')
    assert ("error" in refused.value.challenge) == (given is not None)


def test_another_scope_than_the_operation_needs_is_a_403(database: Database) -> None:
    given = f"Bearer {SIGNER.token(scope='words:read')}"
    with pytest.raises(NotAuthorized) as refused:
        _guard(database).caller_of(_message(given), KeepGuarded)
    assert (refused.value.problem.status, refused.value.problem.code) == (403, "insufficient-scope")
    assert 'error="insufficient_scope", scope="words:write"' in refused.value.challenge
    assert _guard(database).caller_of(_message(given, WhoAmI), WhoAmI).id == "17"


class Look(Query[Counted], name="example.look", needs_for={"hidden": "words:write"}):
    hidden: bool | UnsetType | None = UNSET


def test_a_field_that_needs_a_scope_is_for_callers_that_have_it(database: Database) -> None:
    guard = _guard(database, operations=[Look])
    for unused in (Look(), Look(hidden=False), Look(hidden=None)):
        assert guard.caller_for_fields(_message("Bearer nonsense", Look), unused) is ANONYMOUS
    used = Look(hidden=True)
    assert guard.caller_for_fields(_message(f"Bearer {SIGNER.token(scope=SCOPE)}", Look), used) == ANN
    refused = {None: "token-required", "Bearer abc": "invalid-token", f"Bearer {SIGNER.token()}": "insufficient-scope"}
    for given, code in refused.items():
        with pytest.raises(NotAuthorized) as caught:
            guard.caller_for_fields(_message(given, Look), used)
        assert caught.value.problem.code == code
        admitted = partial(admit, _message(given, Look), Look, guard=guard)
        assert admitted().caller is ANONYMOUS, "the request has no such field"
        with pytest.raises(NotAuthorized):
            admit(structs.replace(_message(given, Look), body=b'{"hidden": true}'), Look, guard=guard)


def test_where_a_service_is_open_all_fields_are_everyones(database: Database) -> None:
    guard = _guard(database, operations=[Look], is_open=True)
    message = structs.replace(_message("Bearer nonsense", Look), body=b'{"hidden": true}')
    assert admit(message, Look, guard=guard).request == Look(hidden=True)


def test_what_needs_no_account_reads_no_token(database: Database) -> None:
    for operation in (Keep, Count):
        assert _guard(database).caller_of(_message("Bearer nonsense", operation), operation) is ANONYMOUS


def test_an_outcome_may_be_asked_for_with_a_token_or_without(database: Database) -> None:
    query = outcome_query_of("example")
    guard = _guard(database)
    assert guard.caller_of(_message(None, query), query) is ANONYMOUS
    assert guard.caller_of(_message(f"Bearer {SIGNER.token()}", query), query).id == "17"
    with pytest.raises(NotAuthorized):
        guard.caller_of(_message("Bearer nonsense", query), query)


def test_an_open_service_asks_for_no_scope_but_for_an_account(database: Database) -> None:
    guard = _guard(database, is_open=True)
    assert guard.caller_of(_message("Bearer nonsense"), KeepGuarded) is ANONYMOUS
    with pytest.raises(NotAuthorized):
        guard.caller_of(_message(None, WhoAmI), WhoAmI)


def test_an_open_service_in_which_nothing_needs_an_account_reads_no_token(database: Database) -> None:
    operations = (Keep, KeepGuarded, outcome_query_of("example"))
    assert _guard(database, operations=operations).asks == {each.operation_name for each in operations[1:]}
    guard = _guard(database, operations=operations, is_open=True)
    assert not guard.asks
    for operation in operations:
        assert guard.caller_of(_message("Bearer nonsense", operation), operation) is ANONYMOUS


def test_a_seal_for_another_operation_and_a_plain_token_where_it_must_be_sealed_are_refused(database: Database) -> None:
    token = SIGNER.token(scope=SCOPE)
    with pytest.raises(Invalid) as refused:
        _guard(database).caller_of(_message(_sealed(database, token, WhoAmI)), KeepGuarded)
    assert refused.value.problem.code == "unsealable"
    with pytest.raises(Invalid) as refused:
        _guard(database, required=True).caller_of(_message(f"Bearer {token}"), KeepGuarded)
    assert refused.value.problem.code == "sealing-required"


@pytest.mark.parametrize("way", ["retry", "quarantine"])
def test_a_copy_carries_the_caller_for_longer_than_the_token_lives(
    database: Database, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    guard, message = _guard(database), _message(f"Bearer {SIGNER.token(scope=SCOPE)}")
    vouched = guard.vouch(message, guard.caller_of(message, KeepGuarded))
    if way == "retry":
        copy = structs.replace(later(vouched, retry_queues("example")[0]), exchange="")
    else:
        copy = original(alone(vouched, quarantine_queue("example")))
    assert "authorization" not in copy.headers
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7200)
    assert _guard(database).caller_of(copy, KeepGuarded) == ANN


CHANGED: dict[str, dict[str, Any]] = {
    "another body": {"body": b'{"word": "other"}'},
    "another id": {"message_id": "2"},
    "another operation": {"queue": "example.who_am_i"},
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=list(CHANGED))
def test_what_a_worker_vouched_for_is_worth_nothing_elsewhere(database: Database, changed: dict[str, Any]) -> None:
    guard = _guard(database)
    copy = guard.vouch(_message(), ANN)
    assert guard.caller_of(copy, KeepGuarded) == ANN
    with pytest.raises(NotAuthorized):
        guard.caller_of(structs.replace(copy, **changed), KeepGuarded)


@pytest.mark.parametrize("named", ['["1","",["words:write"]]', "\ud800", "{", 7])
def test_a_forged_caller_is_none(database: Database, named: object) -> None:
    for authenticator in ("", "0" * 64, "\ud800", 7):
        message = _message(caller=named, **{"caller-authenticator": authenticator})
        with pytest.raises(NotAuthorized):
            _guard(database).caller_of(message, KeepGuarded)


def test_a_plain_token_is_sealed_before_a_copy_is_made_of_a_message_that_nobody_verified(database: Database) -> None:
    guard, token = _guard(database), SIGNER.token(scope=SCOPE)
    sealed = guard.with_sealed_token(_message(f"Bearer {token}"), KeepGuarded)
    copy = structs.replace(later(sealed, retry_queues("example")[0]), exchange="")
    assert token not in str(copy.headers)
    assert guard.caller_of(copy, KeepGuarded) == ANN
    assert guard.with_sealed_token(sealed, KeepGuarded) is sealed


@pytest.mark.parametrize(
    ("given", "expected"),
    [("Bearer {}", True), ("{sealed}", True), ("", False), ("Basic YTpi", False), ("Sealed e30.e30..e30.e30", False)],
)
def test_the_token_of_a_call_is_opened_to_be_passed_on(database: Database, given: str, expected: bool) -> None:
    token = SIGNER.token(scope=SCOPE)
    authorization = given.format(token, sealed=_sealed(database, token))
    call = Call(KeepGuarded, KeepGuarded(word="a"), "1", authorization=authorization)
    assert _guard(database).token_of(call) == (token if expected else None)


class Keys:
    """The keys of the token service, and how often they were asked for."""

    def __init__(self, *signers: Signer) -> None:
        self.signers, self.asked, self.is_away = list(signers), 0, False

    def __call__(self) -> JsonWebKeySet:
        self.asked += 1
        if self.is_away:
            raise ReplyTimeout("auth.get_jwks", "1", 2.0)
        return JsonWebKeySet(keys=[signer.jwk for signer in self.signers])


class Clock:
    """A clock that moves only when a test moves it."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(token_keys, "time", clock)
    return clock


def test_keys_are_asked_for_once_and_again_for_an_unknown_id_but_not_for_each(clock: Clock) -> None:
    read = Keys(SIGNER)
    keys = TokenKeys(read)
    assert all(keys.key("key-1") for _ in range(5))
    assert read.asked == 1
    read.signers.insert(0, Signer("key-2"))
    assert [keys.key("key-2"), keys.key("invented")] == [None, None]
    clock.now += token_keys.UNKNOWN_SECONDS + 1
    assert keys.key("key-2") is not None
    assert [keys.key(f"invented-{number}") for number in range(5)] == [None] * 5
    assert read.asked == 2


def test_a_withdrawn_key_is_forgotten(clock: Clock) -> None:
    read = Keys(SIGNER)
    keys = TokenKeys(read)
    assert keys.key("key-1")
    read.signers.clear()
    clock.now += token_keys.FRESH_SECONDS + 1
    assert keys.key("key-1") is None


def test_while_the_service_is_away_known_keys_are_believed_and_nothing_is_said_of_unknown_ones(clock: Clock) -> None:
    read = Keys(SIGNER)
    keys = TokenKeys(read)
    assert keys.key("key-1")
    read.is_away = True
    clock.now += token_keys.FRESH_SECONDS + 1
    assert keys.key("key-1")
    for _ in range(3):
        with pytest.raises(Unavailable) as away:
            keys.key("key-2")
        assert away.value.problem.code == "no-token-keys"
    assert read.asked == 2
    clock.now += token_keys.STALE_SECONDS
    with pytest.raises(Unavailable):
        keys.key("key-1")
    read.is_away = False
    clock.now += token_keys.UNKNOWN_SECONDS + 1
    assert keys.key("key-1")
