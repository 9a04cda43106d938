"""Passwords: how two are compared, and their hashes, Argon2id (RFC 9106)."""

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

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


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether this is the password of a hash. None stands for an account that does not exist.

    It takes the same time for None, so that the time does not say which accounts exist.
    """
    try:
        return _hasher().verify(password_hash or _hash_of_nothing(), prepared(password)) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def needs_new_hash(password_hash: str) -> bool:
    """Whether a hash was made with other parameters than these."""
    return _hasher().check_needs_rehash(password_hash)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _hash_of_nothing() -> str:
    return hash_password("There is no account with this password.")
