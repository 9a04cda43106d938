"""Seals: only the operation and the key that a seal was made for can open it."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwe import JWERegistry, encrypt_compact
from joserfc.jwk import ECKey, OctKey, RSAKey

from bus.contract.problems import Invalid
from bus.security.keys import KeyPair
from bus.security.seal import MAX_SEAL_BYTES, PADDED_BYTES, kid_of, looks_sealed, seal, unseal

PAIR = KeyPair.new()
SECRETS = b'{"password": "correct horse \xf0\x9f\x90\xb4"}'
ANY = JWERegistry(
    algorithms=["ECDH-ES", "ECDH-ES+A256KW", "dir", "RSA-OAEP", "A256GCM", "A128CBC-HS256", "DEF"],
    strict_check_header=False,
)


def _sealed(
    password: str = "correct horse 🐴",
    operation: str = "auth.register",
    pair: KeyPair = PAIR,
) -> str:
    return seal({"password": password}, operation, pair.kid, pair.public_jwk)


def _with_header(key: Any = PAIR.key, secrets: bytes = SECRETS, **changed: Any) -> str:
    """A JWE of another kind. A member that is None is left out."""
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": PAIR.kid, "op": "auth.register", **changed}
    return encrypt_compact(
        {name: value for name, value in header.items() if value is not None}, secrets, key, None, ANY
    )


def _with_raw_header(sealed: str, header: bytes) -> str:
    return ".".join([urlsafe_b64encode(header).rstrip(b"=").decode(), *sealed.split(".")[1:]])


def _header_of(sealed: str) -> dict[str, Any]:
    encoded = sealed.partition(".")[0]
    header: dict[str, Any] = json.loads(urlsafe_b64decode(encoded + "=="))
    return header


def _open(sealed: object, pair: KeyPair = PAIR) -> dict[str, Any]:
    kid_of(sealed, "auth.register")
    return unseal(str(sealed), pair)


def _is_refused(sealed: object, pair: KeyPair = PAIR) -> str:
    with pytest.raises(Invalid) as refused:
        _open(sealed, pair)
    problem = refused.value.problem
    assert (problem.code, problem.status, problem.errors[0].pointer) == ("unsealable", 422, "/sealed")
    assert "horse" not in str(problem)
    return problem.detail


def test_what_is_sealed_is_opened() -> None:
    assert _open(_sealed()) == _open(_with_header()) == {"password": "correct horse 🐴"}


def test_the_length_of_a_seal_does_not_tell_that_of_the_secret() -> None:
    assert len({len(_sealed("a" * length)) for length in range(8, 100)}) == 1
    assert len(_sealed("a" * PADDED_BYTES)) > len(_sealed())


def test_a_seal_says_which_key_opens_it() -> None:
    assert kid_of(_sealed(), "auth.register") == PAIR.kid


def test_the_secret_is_not_readable_in_the_seal() -> None:
    decoded = b"".join(urlsafe_b64decode(part + "==") for part in _sealed().split("."))
    assert b"horse" not in decoded


def test_the_header_says_how_to_whom_and_for_what_it_is_sealed() -> None:
    header = _header_of(_sealed())
    assert {**header, "epk": None} == {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": PAIR.kid,
        "op": "auth.register",
        "epk": None,
    }


def test_two_seals_of_one_secret_differ() -> None:
    assert _sealed() != _sealed()


def test_a_key_has_its_thumbprint_as_its_id() -> None:
    """The one of the public members alone, in their order (RFC 7638, section 3.2)."""
    jwk = PAIR.public_jwk
    assert PAIR.kid == ECKey.import_key({"kty": "EC", "crv": "P-256", "x": jwk.x, "y": jwk.y}).thumbprint()
    assert KeyPair.read(PAIR.private_jwk).kid == PAIR.kid


def test_the_public_half_is_public() -> None:
    assert "d" in json.loads(PAIR.private_jwk)
    assert PAIR.public_jwk.__struct_fields__ == ("kty", "crv", "x", "y")


def test_a_seal_for_another_operation_is_refused() -> None:
    assert _is_refused(_sealed(operation="auth.change_password")) == "The seal was not made for auth.register."


def test_a_seal_to_another_key_is_refused() -> None:
    assert "cannot be opened" in _is_refused(_sealed(), KeyPair.new())


@pytest.mark.parametrize("part", [0, 2, 3, 4])
def test_a_seal_that_was_changed_anywhere_is_refused(part: int) -> None:
    parts = _sealed().split(".")
    for place in range(0, len(parts[part]), 7):
        changed = parts[part][:place] + ("A" if parts[part][place] != "A" else "B") + parts[part][place + 1 :]
        _is_refused(".".join([*parts[:part], changed, *parts[part + 1 :]]))


@pytest.mark.parametrize(
    "header",
    [
        {"enc": "A128CBC-HS256"},
        {"alg": "ECDH-ES+A256KW"},
        {"zip": "DEF"},
        {"crit": ["kid"]},
        {"typ": "JWT"},
        {"op": None},
        {"kid": None},
    ],
)
def test_a_jwe_of_any_other_kind_is_refused(header: dict[str, Any]) -> None:
    _is_refused(_with_header(**header))


def test_other_key_managements_are_refused() -> None:
    _is_refused(_with_header(OctKey.generate_key(256), alg="dir"))
    _is_refused(_with_header(RSAKey.generate_key(2048), alg="RSA-OAEP"))


@pytest.mark.parametrize("changed", [{"alg": "none"}, {"alg": "dir"}, {"alg": "RSA-OAEP"}, {"alg": None}, {"enc": []}])
def test_a_header_that_claims_another_algorithm_is_refused(changed: dict[str, Any]) -> None:
    sealed = _sealed()
    header = json.dumps({**_header_of(sealed), **changed}).encode()
    assert "algorithms" in _is_refused(_with_raw_header(sealed, header))


@pytest.mark.parametrize(
    "epk",
    [
        None,
        "x",
        {},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": "A" * 42 + "B", "y": "A" * 43},
        {"kty": "EC", "crv": "P-384", "x": "A" * 43, "y": "A" * 43},
        {"kty": "oct", "k": "A"},
    ],
)
def test_an_invalid_ephemeral_key_is_refused(epk: object) -> None:
    sealed = _sealed()
    _is_refused(_with_raw_header(sealed, json.dumps({**_header_of(sealed), "epk": epk}).encode()))


@pytest.mark.parametrize("kid", [None, 7, {}, []])
def test_an_id_that_is_no_text_is_refused(kid: object) -> None:
    sealed = _sealed()
    _is_refused(_with_raw_header(sealed, json.dumps({**_header_of(sealed), "kid": kid}).encode()))


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b"\xff", b'{"alg": "ECDH-ES", "alg": "ECDH-ES"}', b"[" * 500])
def test_a_header_that_is_no_json_object_is_refused(header: bytes) -> None:
    _is_refused(_with_raw_header(_sealed(), header))


@pytest.mark.parametrize("secrets", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a": 1, "a": 1}', b'{"a": NaN}', b"[" * 999])
def test_what_is_in_a_seal_is_read_as_strictly_as_a_body(secrets: bytes) -> None:
    _is_refused(_with_header(secrets=secrets))


@pytest.mark.parametrize("sealed", [None, 5, [], {}, "", ".", "....", "a.b.c", "a..b.c.d", "é" * 20, "\ud800"])
def test_what_is_no_seal_is_refused(sealed: object) -> None:
    assert not looks_sealed(sealed)
    _is_refused(sealed)


def test_a_seal_with_an_encrypted_key_is_refused() -> None:
    first, *rest = _sealed().split(".")
    _is_refused(".".join([first, "AAAA", *rest[1:]]))


def test_a_seal_that_is_too_large_is_refused_unread() -> None:
    fitting = _sealed("🐴" * (16 * 1024))  # as long as a body over HTTP may be
    assert len(fitting) < MAX_SEAL_BYTES
    assert _open(fitting)
    assert f"at most {MAX_SEAL_BYTES} bytes" in _is_refused(_sealed("a" * 100_000))


@given(st.text(alphabet="eyJhbGciOi.AQgw_-0\n=+/", min_size=1, max_size=400), st.integers(0, 5))
def test_garbage_is_refused(garbage: str, part: int) -> None:
    parts = _sealed().split(".")
    parts[part : part + 1] = [garbage]
    _is_refused(".".join(parts))
