"""Access tokens: the right one is believed, and each that is wrong in any way gets the same refusal (RFC 8725)."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bus.contract.identity import Caller, NotAuthorized, SigningJwk, invalid_token
from bus.security.access_tokens import verify
from bus.security.signing_keys import SigningKey

NOW = 1_800_000_000
KEY, OTHER = SigningKey.new(), SigningKey.new()
CLAIMS: dict[str, Any] = {
    "iss": "urn:errand:auth",
    "aud": "urn:errand",
    "sub": "42",
    "sid": "Zm9vYmFy",
    "scope": "admin catalog:write",
    "iat": NOW,
    "exp": NOW + 600,
    "jti": "c2Vzc2lvbg",
}
HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid}


def _key_of(kid: str) -> SigningJwk | None:
    return SigningJwk(kty="OKP", crv="Ed25519", x=KEY.x, kid=KEY.kid) if kid == KEY.kid else None


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _signed(header: Any, claims: Any = CLAIMS, sign: Callable[[bytes], bytes] = KEY._key.sign) -> str:
    parts = [part if isinstance(part, bytes) else msgspec.json.encode(part) for part in (header, claims)]
    signed = ".".join(map(_text, parts))
    return f"{signed}.{_text(sign(signed.encode()))}"


def _with(**changes: Any) -> str:
    """A token with other claims; None leaves one out."""
    return _signed(HEADER, {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None})


def _headed(**changes: Any) -> str:
    return _signed({name: value for name, value in {**HEADER, **changes}.items() if value is not None})


def _hs256(signed: bytes) -> bytes:
    """Signed with the public key as if it were a shared secret (RFC 8725, section 2.1)."""
    return hmac.new(urlsafe_b64decode(KEY.x + "="), signed, hashlib.sha256).digest()


GOOD = KEY.sign(CLAIMS)
FIRST, SECOND, LAST = GOOD.split(".")
# The last character of a signature has four bits that mean nothing.
_OTHER_SPELLING = LAST[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[LAST[-1]]

WRONG = {
    "nothing": "",
    "no JWT": "kXh7mZ1vC0Jw3b9TqYpR5sUeGd2LfAoNiVtHxEy8Mc4",
    "no signature": f"{FIRST}.{SECOND}.",
    "two parts": f"{FIRST}.{SECOND}",
    "four parts": f"{GOOD}.{LAST}",
    "five parts, as a JWE": f"{FIRST}.{LAST}.{LAST}.{SECOND}.{LAST}",
    "a blank": f"{FIRST}. {SECOND}.{LAST}",
    "padding": f"{FIRST}.{SECOND}.{LAST}==",
    "standard base64": f"{FIRST}.{SECOND}.+/{LAST[2:]}",
    "another spelling of the signature": f"{FIRST}.{SECOND}.{_OTHER_SPELLING}",
    "too long": _with(scope="x" * 5000),
    "other claims under the signature": f"{FIRST}.{_text(msgspec.json.encode({**CLAIMS, 'sub': '1'}))}.{LAST}",
    "signed by another key": _signed(HEADER, sign=OTHER._key.sign),
    "an unknown key": OTHER.sign(CLAIMS),
    "alg none": f"{_text(msgspec.json.encode({**HEADER, 'alg': 'none'}))}.{SECOND}.",
    "alg none with a signature": _headed(alg="none"),
    "alg None": _headed(alg="None"),
    "HS256 with the public key": _signed({**HEADER, "alg": "HS256"}, sign=_hs256),
    "HS256 by its length, under our alg": _signed(HEADER, sign=_hs256),
    "alg RS256": _headed(alg="RS256"),
    "no alg": _headed(alg=None),
    "typ JWT": _headed(typ="JWT"),
    "typ of a refresh token": _headed(typ="rt+jwt"),
    "no typ": _headed(typ=None),
    "no kid": _headed(kid=None),
    "kid no text": _headed(kid=7),
    "a key in the header": _headed(jwk={"kty": "OKP", "crv": "Ed25519", "x": OTHER.x}),
    "the address of a key": _headed(jku="https://attacker.example/jwks.json"),
    "crit": _headed(crit=["exp"]),
    "unencoded": _headed(b64=False),
    "a header that is no object": _signed(b"[]"),
    "a header with a key twice": _signed(
        b'{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"' + KEY.kid.encode() + b'"}'
    ),
    "claims that are no object": _signed(HEADER, b'"42"'),
    "claims that are no JSON": _signed(HEADER, b"{sub: 42}"),
    "another issuer": _with(iss="urn:errand:other"),
    "no issuer": _with(iss=None),
    "another audience": _with(aud="urn:other"),
    "another audience in a list": _with(aud=["urn:other"]),
    "no audience": _with(aud=None),
    "ended": _with(exp=NOW),
    "no end": _with(exp=None),
    "the end as text": _with(exp=str(NOW + 600)),
    "an endless end": _signed(HEADER, msgspec.json.encode(CLAIMS).replace(str(NOW + 600).encode(), b"Infinity")),
    "not yet": _with(nbf=NOW + 60),
    "issued in the future": _with(iat=NOW + 60),
    "no time of issue": _with(iat=None),
    "no subject": _with(sub=None),
    "the subject as a number": _with(sub=42),
    "an empty subject": _with(sub=""),
    "the subject of no account": _with(sub="anonymous"),
    "a subject with a line break": _with(sub="4\n2"),
    "no session": _with(sid=None),
    "no id of its own": _with(jti=None),
    "no scope": _with(scope=None),
    "scopes in a list": _with(scope=["admin"]),
}


def test_the_right_token_says_who_calls() -> None:
    found = verify(GOOD, _key_of, NOW)
    assert found.caller == Caller(id="42", session="Zm9vYmFy", scopes=frozenset({"admin", "catalog:write"}))
    assert found.expires_at == NOW + 600


@pytest.mark.parametrize(
    "token", [_headed(typ="application/at+jwt"), _headed(typ="AT+JWT"), _with(aud=["urn:errand", "urn:x"])]
)
def test_what_the_standards_allow_is_right_too(token: str) -> None:
    assert verify(token, _key_of, NOW).caller.id == "42"


def test_an_account_without_roles_has_no_scopes() -> None:
    assert verify(_with(scope=""), _key_of, NOW).caller.scopes == frozenset()


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_token_gets_the_same_refusal(token: str) -> None:
    with pytest.raises(NotAuthorized) as refused:
        verify(token, _key_of, NOW)
    assert (refused.value.problem, refused.value.challenge) == (invalid_token().problem, invalid_token().challenge)


def test_a_key_is_read_again_from_what_is_kept() -> None:
    again = SigningKey.read(KEY.private_jwk)
    assert (again.kid, again.x) == (KEY.kid, KEY.x)
    assert verify(again.sign(CLAIMS), _key_of, NOW).caller.id == "42"


def test_the_id_of_a_key_is_its_thumbprint() -> None:
    """RFC 8037, appendix A.1 to A.3."""
    private = '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}'
    key = SigningKey.read(private)
    assert key.x == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
