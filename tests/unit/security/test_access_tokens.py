"""Access tokens: the right one is believed, and each that is wrong in any way gets the same refusal (RFC 8725)."""

import pytest
from support.wrong_tokens import Tokens

from bus.contract.identity import Caller, NotAuthorized, SigningJwk, invalid_token
from bus.security.access_tokens import verify
from bus.security.signing_keys import SigningKey

NOW = 1_800_000_000
KEY = SigningKey.new()


def _key_of(kid: str) -> SigningJwk | None:
    return SigningJwk(kty="OKP", crv="Ed25519", x=KEY.x, kid=KEY.kid) if kid == KEY.kid else None


TOKENS = Tokens(KEY, NOW)
WRONG = TOKENS.wrong()


def test_the_right_token_says_who_calls() -> None:
    found = verify(TOKENS.good, _key_of, NOW)
    assert found.caller == Caller(id="42", session="Zm9vYmFy", scopes=frozenset({"admin", "catalog:write"}))
    assert found.expires_at == NOW + 600


@pytest.mark.parametrize(
    "token",
    [
        TOKENS.with_header(typ="application/at+jwt"),
        TOKENS.with_header(typ="AT+JWT"),
        TOKENS.with_claims(aud=["urn:errand", "urn:x"]),
    ],
)
def test_what_the_standards_allow_is_right_too(token: str) -> None:
    assert verify(token, _key_of, NOW).caller.id == "42"


def test_an_account_without_roles_has_no_scopes() -> None:
    assert verify(TOKENS.with_claims(scope=""), _key_of, NOW).caller.scopes == frozenset()


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_token_gets_the_same_refusal(token: str) -> None:
    with pytest.raises(NotAuthorized) as refused:
        verify(token, _key_of, NOW)
    assert (refused.value.problem, refused.value.challenge) == (invalid_token().problem, invalid_token().challenge)


def test_a_key_is_read_again_from_what_is_kept() -> None:
    again = SigningKey.read(KEY.private_jwk)
    assert (again.kid, again.x) == (KEY.kid, KEY.x)
    assert verify(again.sign(TOKENS.claims), _key_of, NOW).caller.id == "42"


def test_the_id_of_a_key_is_its_thumbprint() -> None:
    """RFC 8037, appendix A.1 to A.3."""
    private = '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}'
    key = SigningKey.read(private)
    assert key.x == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
