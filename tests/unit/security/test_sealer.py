"""The sealer: seals only to keys that the service has signed."""

import json

import pytest
from msgspec import structs

from auth.contract import Register
from bus.contract.builtin import SealingKey
from bus.contract.problems import Unavailable
from bus.security.identity import Forged, identity_of, signature_of
from bus.security.keys import KeyPair
from bus.security.seal import ALG, ENC, kid_of, unseal
from bus.security.sealer import Sealer

PAIR, IDENTITY = KeyPair.new(), KeyPair.new()
BODY = b'{"username": "ann", "email": "ann@example.com", "password": "correct horse"}'


def _key(pair: KeyPair = PAIR, identity: KeyPair = IDENTITY, service: str = "auth") -> SealingKey:
    signature = signature_of(identity, service, pair.kid)
    return SealingKey(kid=pair.kid, alg=ALG, enc=ENC, jwk=pair.public_jwk, signature=signature)


def _sealed(sealer: Sealer) -> dict[str, str]:
    fields: dict[str, str] = json.loads(sealer.sealed(Register, BODY, 0.0, "7"))
    return fields


def _refusal_of(sealer: Sealer) -> str:
    with pytest.raises(Unavailable) as refused:
        _sealed(sealer)
    assert refused.value.problem.code == "no-sealing-key"
    return refused.value.problem.detail


def test_the_secrets_are_sealed_with_the_whole_request_and_its_message_id() -> None:
    fields = _sealed(Sealer(lambda *_: _key(), {"auth": IDENTITY.kid}))
    assert fields.keys() == {"username", "email", "sealed"}
    assert kid_of(fields["sealed"], "auth.register") == PAIR.kid
    opened = unseal(fields["sealed"], PAIR)
    assert opened == {"request": json.loads(BODY), "message_id": "7"}


def test_a_key_of_another_identity_than_the_one_that_is_set_is_refused() -> None:
    other = KeyPair.new()
    why = _refusal_of(Sealer(lambda *_: _key(identity=other), {"auth": IDENTITY.kid}))
    assert other.kid in why
    assert IDENTITY.kid in why


def test_the_first_identity_is_trusted_and_another_one_later_is_refused() -> None:
    keys = [_key(), _key(KeyPair.new()), _key(identity=KeyPair.new())]
    sealer = Sealer(lambda *_: keys.pop(0))
    assert _sealed(sealer)
    sealer.forget("auth")
    assert _sealed(sealer), "a rotation: another sealing key, the same identity"
    sealer.forget("auth")
    assert IDENTITY.kid in _refusal_of(sealer)


@pytest.mark.parametrize(
    "forged",
    [
        structs.replace(_key(), signature=""),
        structs.replace(_key(), signature="a.b.c"),
        structs.replace(_key(), signature=_key().signature[:-10] + "A" * 10),
        structs.replace(_key(), signature=_key(KeyPair.new()).signature),
        structs.replace(_key(), jwk=KeyPair.new().public_jwk),
        structs.replace(_key(), kid=KeyPair.new().kid),
        _key(service="catalog"),
    ],
)
def test_a_key_that_its_service_has_not_signed_is_refused(forged: SealingKey) -> None:
    with pytest.raises(Forged):
        identity_of(forged, "auth")
    _refusal_of(Sealer(lambda *_: forged))
