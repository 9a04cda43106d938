"""Hashes of other programs: which are known, which cost too much, and which password is theirs."""

import hashlib

import argon2
import bcrypt
import pytest

from auth.domain import passwords
from auth.domain.password_hashes import MAX_CHARACTERS, check_cost, matches
from auth.domain.passwords import is_password, needs_new_hash
from bus import RuleViolation

PASSWORD = "Grüße, Jürgen 1"
# Made by Django 5.2, by Werkzeug 3.1, and by bcrypt 5.0 and argon2-cffi 25.1.
HASHES = {
    "Django, PBKDF2": "pbkdf2_sha256$1000$saltsalt12345678$2ZDebMuAI5tGwhAgXJVhI4aKZ6li1fIsyY7gUJoBWVI=",
    "Django, bcrypt of SHA-256": "bcrypt_sha256$$2b$04$CRa983RbYMaxRld.KUFQoOzFwFnUycSuKcctauoXU0vCSHZO1zPj6",
    "Django, bcrypt": "bcrypt$$2b$04$FsGS.lYh3L1YJ8vKZECdv.3kB8Nnno2g2U0pwn7oyWZeLeSgk470u",
    "Django, scrypt": "scrypt$1024$saltsalt12345678$8$5$PYaC8hf2ak9jXl897gJeDP230Yc2P4zPrTcxSjYJyNamLjtjWy+Zl0zG2DMg"
    "KLOjgbjqzsOoDs9Y5bTxFS2YrQ==",
    "Django, Argon2": "argon2$argon2id$v=19$m=1024,t=1,p=2$c2FsdHNhbHQxMjM0NTY3OA$8G39KTVyKQl7dj5pjQejuV+apb2h4ghuXx4X"
    "Cqr5uqE",
    "Werkzeug, PBKDF2": "pbkdf2:sha256:1000$I96xCBTBdibaK1hf$51433ae05aa016f74fbf9498f8a7999e2e39b12747bd569462297ea87"
    "81bd336",
    "Werkzeug, scrypt": "scrypt:32768:8:1$21cJ0B8bGAPwDXGV$ee474a31b9f561dbe44109a3c92e8da2aa4a89fc155bd0342c1c39bf3a17"
    "ff117b589a68b747d6b22e5b0f27bb44bcebc074d572afe144aa8dea2df5429ea25a",
    "bcrypt 2a": "$2a$04$Ha3weJFtmVXDbdRuBptWkOO8sB5TuMHUpOGs5T/Gf1eVISIwiEOHy",
    "bcrypt 2b": "$2b$04$JPwJ5T9HTfmcDzFittlbGuzVbZidyE1muXM9D9S1E9My2.EN44sUO",
    "bcrypt 2y": "$2y$04$JPwJ5T9HTfmcDzFittlbGuzVbZidyE1muXM9D9S1E9My2.EN44sUO",
    "Argon2i": argon2.PasswordHasher(1, 64, 1, type=argon2.Type.I).hash(PASSWORD),
    "Argon2d": argon2.PasswordHasher(1, 64, 1, hash_len=12, salt_len=8, type=argon2.Type.D).hash(PASSWORD),
}
BCRYPT_REST = "CRa983RbYMaxRld.KUFQoOzFwFnUycSuKcctauoXU0vCSHZO1zPj6"
BASE64, HEX64, HEX128 = "A" * 43 + "=", "0" * 64, "0" * 128


@pytest.mark.parametrize("name", HASHES)
def test_the_password_of_a_hash_is_known_and_no_other(name: str) -> None:
    check_cost(HASHES[name])
    assert len(HASHES[name]) <= MAX_CHARACTERS
    assert is_password(PASSWORD, HASHES[name])
    assert not is_password(PASSWORD[:-1], HASHES[name])
    assert not is_password("", HASHES[name])
    assert needs_new_hash(HASHES[name])


def test_bcrypt_compares_72_bytes_as_it_always_has() -> None:
    long = "ü" * 40
    old = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    assert is_password(long, old)
    assert is_password(long + "another end", old)
    assert not is_password("ü" * 35, old)


def test_a_password_counts_as_it_was_typed_and_as_we_prepare_it() -> None:
    typed, prepared = "cafe\u0301\u00a0au lait", "caf\u00e9 au lait"
    for form in (typed, prepared):
        hashed = hashlib.pbkdf2_hmac("sha256", form.encode(), b"salt", 10).hex()
        assert is_password(typed, f"pbkdf2:sha256:10$salt${hashed}")
        assert is_password(form, f"pbkdf2:sha256:10$salt${hashed}")


@pytest.mark.parametrize(
    ("costly", "named"),
    [
        (f"$2b$15${BCRYPT_REST}", "Its cost is 15. It must be from 1 to 14."),
        (f"$2b$03${BCRYPT_REST}", "below 4"),
        (f"bcrypt_sha256$$2b$31${BCRYPT_REST}", "Its cost is 31"),
        (f"pbkdf2_sha256$3000001$salt${BASE64}", "iterations is 3000001. It must be from 1 to 3000000."),
        (f"pbkdf2:sha256:0$salt${HEX64}", "iterations is 0"),
        (f"scrypt:1048576:8:1$salt${HEX128}", "memory in KiB ((N + p + 2) * r / 8) is 1048579. It must be"),
        (f"scrypt:16384:8:9999$salt${HEX128}", "parallelism (N * r / 8 * p) is"),
        (f"scrypt:1000:8:1$salt${HEX128}", "Its N is 1000. It must be a power of two"),
        (f"scrypt$2$salt$1$9999999999${'A' * 86}==", "parallelism"),
        (f"scrypt:2:8:262144$salt${HEX128}", "memory in KiB ((N + p + 2) * r / 8) is 262148"),
        (f"scrypt:1024:0:1$salt${HEX128}", "below 2^(16 * r)"),
        (f"scrypt:65536:1:1$salt${HEX128}", "below 2^(16 * r)"),
        (f"$argon2id$v=19$m=262145,t=1,p=1${'A' * 22}${'A' * 43}", "memory in KiB (m) is 262145"),
        (f"$argon2id$v=19$m=65536,t=17,p=1${'A' * 22}${'A' * 43}", "passes (m * t) is 1114112"),
        (f"$argon2id$v=19$m=65536,t=1,p=17${'A' * 22}${'A' * 43}", "lanes (p) is 17"),
    ],
)
def test_a_hash_that_takes_too_long_is_refused_with_the_limit(costly: str, named: str) -> None:
    with pytest.raises(RuleViolation) as refused:
        check_cost(costly)
    assert refused.value.code == "invalid-password-hash"
    assert named in refused.value.detail
    assert costly[-20:] not in refused.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "hunter2hunter2", "", "!", "$2b$12$short", "md5$salt$0123456789abcdef0123456789abcdef",
        f"pbkdf2:sha256$salt${HEX64}", f"pbkdf2_sha1$1000$salt${BASE64}", f"pbkdf2_sha256$1000$salt${BASE64}\n",
        f"pbkdf2_sha256$99999999999999$salt${BASE64}", f"pbkdf2_sha256$1000$${BASE64}", "$argon2id$v=19$m=1,t=1,p=1$$",
        f"$2x$04${BCRYPT_REST}", f"$2b$04${BCRYPT_REST.replace('QoO', 'QoP')}", f"scrypt:1024:8:1$sält${HEX128}",
    ],
)  # fmt: skip
def test_other_text_is_no_hash_and_is_not_repeated(text: str) -> None:
    with pytest.raises(RuleViolation) as refused:
        check_cost(text)
    assert "This is not a hash by Argon2" in refused.value.detail
    assert not text or text not in refused.value.detail
    assert not matches(text, text)


@pytest.mark.parametrize(
    "refused", [f"scrypt:1024:0:1$salt${HEX128}", f"scrypt:65536:1:1$salt${HEX128}", f"pbkdf2:sha256:0$salt${HEX64}"]
)
def test_parameters_that_a_library_refuses_are_of_no_password(refused: str) -> None:
    """Of a hash that was stored before such parameters were refused: a log-in is answered 401."""
    assert not is_password(PASSWORD, refused)


@pytest.mark.parametrize("password", ["correct horse battery staple", "cafe\u0301 au lait"])
def test_an_unknown_account_takes_as_many_hashes_of_the_same_kind_as_a_known_one(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    old, compared = HASHES["Werkzeug, PBKDF2"], list[str]()
    monkeypatch.setattr(passwords, "matches", lambda _, password_hash: compared.append(password_hash))
    is_password(password, old)
    known = compared.copy()
    compared.clear()
    for nothing in (None, ""):
        assert not is_password(password, nothing, old)
        assert compared == known
        compared.clear()
    monkeypatch.undo()
    assert not is_password(PASSWORD, None, old)
