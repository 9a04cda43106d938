"""Passwords: how two are compared, and the hashes that we make, Argon2id (RFC 9106)."""

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError

from auth.domain.password_hashes import matches

# OWASP Password Storage Cheat Sheet: 19 MiB of memory, two passes, one lane. One hash took 29 to 40 ms of CPU time
# where it was measured; with the library's defaults it took 253 to 274 ms.
MEMORY_KIB = 19456
PASSES = 2
LANES = 1

MIN_CHARACTERS = 8


def prepared(password: str) -> str:
    """A password as it is hashed: any space is U+0020, in form NFC (RFC 8265, section 4.2, OpaqueString)."""
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced)


def hash_password(password: str) -> str:
    """Hash a password for storage. The hash is in PHC string format, which contains its salt and parameters."""
    return _hasher().hash(prepared(password))


def is_password(password: str, password_hash: str | None, example: str | None = None) -> bool:
    """Whether this is the password of a hash. None stands for an account that does not exist, or has no password.

    It takes as long for None as for `example`, the hash of some account, or one of ours: the time must not say which
    accounts exist. A password counts as it was typed too, for that is how other programs have hashed it.
    """
    compared = password_hash or example or _hash_of_nothing()
    typed_and_prepared = dict.fromkeys((prepared(password), password))
    return any(matches(form, compared) for form in typed_and_prepared) and bool(password_hash)


def needs_new_hash(password_hash: str) -> bool:
    """Whether a hash was made in another way, or with other parameters, than ours are."""
    try:
        return _hasher().check_needs_rehash(password_hash)
    except InvalidHashError:
        return True


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _hash_of_nothing() -> str:
    return hash_password("There is no account with this password.")
