"""The token of a service: asked for once, renewed in time, and words for an operator when it is refused."""

from collections.abc import Callable

import pytest

from bus.contract.identity import GetServiceToken, ServiceToken, insufficient_scope, invalid_token, token_required
from bus.contract.problems import Problem, ProblemError, Unavailable
from bus.contract.refusals import Refused
from bus.service import service_tokens
from bus.service.service_tokens import ServiceNotAuthorized, ServiceTokens

LIFE_SECONDS = 600


class Auth:
    """Gives tokens with numbers, or what `refuses` says. `now` is its clock, and that of the tokens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[GetServiceToken] = []
        self.refuses: Exception | None = None
        self.now = 1000.0
        monkeypatch.setattr(service_tokens.time, "monotonic", lambda: self.now)

    def __call__(self, command: GetServiceToken) -> ServiceToken:
        self.asked.append(command)
        if self.refuses is not None:
            raise self.refuses
        return ServiceToken(access_token=f"t{len(self.asked)}", expires_in=LIFE_SECONDS)


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Auth:
    return Auth(monkeypatch)


def _refused(error: ProblemError) -> Callable[[str | None], str]:
    def call(_token: str | None) -> str:
        raise Refused(error.problem)

    return call


def _used(tokens: ServiceTokens) -> str | None:
    return tokens.use(lambda token: token, "store.give")


def test_one_token_serves_many_calls_and_is_renewed_before_it_ends(auth: Auth) -> None:
    tokens = ServiceTokens("shop", "s3cret", auth)
    assert [_used(tokens), _used(tokens)] == ["t1", "t1"]
    auth.now += LIFE_SECONDS / 2
    assert [_used(tokens), _used(tokens)] == ["t2", "t2"]
    assert [(each.client_id, each.client_secret) for each in auth.asked] == [("shop", "s3cret")] * 2


def test_a_token_that_cannot_be_renewed_is_used_until_it_ends(auth: Auth) -> None:
    tokens = ServiceTokens("shop", "s3cret", auth)
    _used(tokens)
    auth.refuses = Unavailable("no-worker", "auth is away")
    auth.now += LIFE_SECONDS / 2
    assert [_used(tokens), _used(tokens)] == ["t1", "t1"]
    assert len(auth.asked) == 2  # and auth is not asked at each call
    auth.now += LIFE_SECONDS / 2
    with pytest.raises(Unavailable):  # which keeps the command, to be tried again later
        _used(tokens)
    auth.refuses = None
    assert _used(tokens) == "t4"


def test_a_token_that_is_refused_is_replaced_once(auth: Auth) -> None:
    tokens = ServiceTokens("shop", "s3cret", auth)
    given: list[str | None] = []

    def call(token: str | None) -> str:
        given.append(token)
        if token == "t1":
            raise Refused(invalid_token().problem)
        return "done"

    assert tokens.use(call, "store.give") == "done"
    assert given == ["t1", "t2"]
    with pytest.raises(ServiceNotAuthorized, match=r"store\.give refuses shop"):
        tokens.use(_refused(invalid_token()), "store.give")
    assert len(auth.asked) == 3


def test_a_service_without_an_account_has_no_token_and_its_operator_gets_to_know_why(auth: Auth) -> None:
    tokens = ServiceTokens("shop", "", auth)
    assert _used(tokens) is None
    with pytest.raises(ServiceNotAuthorized, match=r"store\.give refuses shop.*set SHOP_CLIENT_SECRET\.$"):
        tokens.use(_refused(token_required()), "store.give")
    assert auth.asked == []


def test_a_wrong_secret_and_a_missing_role_are_said_in_words_without_the_secret(auth: Auth) -> None:
    tokens = ServiceTokens("shop", "s3cret", auth)
    with pytest.raises(ServiceNotAuthorized, match="This needs the scope stock:write") as missing:
        tokens.use(_refused(insufficient_scope("stock:write")), "store.give")
    assert "`bus auth service-accounts list` shows the roles of shop" in str(missing.value)
    auth.refuses = Refused(Problem.of("auth.invalid_client", 401, "Invalid client", "There is no such account."))
    auth.now += LIFE_SECONDS
    with pytest.raises(ServiceNotAuthorized, match="Set SHOP_CLIENT_SECRET to what") as wrong:
        _used(tokens)
    assert "auth refuses the secret of the service account shop" in str(wrong.value)
    assert "s3cret" not in str(wrong.value) + str(missing.value)


def test_another_refusal_is_that_of_the_command(auth: Auth) -> None:
    sold_out = Refused(Problem.of("store.sold_out", 409, "Sold out", "Nothing is left."))

    def call(_token: str | None) -> str:
        raise sold_out

    with pytest.raises(Refused) as refused:
        ServiceTokens("shop", "s3cret", auth).use(call, "store.give")
    assert refused.value is sold_out
