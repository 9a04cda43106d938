"""Recovery codes: what takes the place of a one-time password when the authenticator app is lost."""

import base64
import hashlib
import secrets

NUMBER = 10
# 120 random bits: too many to guess, so a fast hash is enough, as for refresh tokens (OWASP ASVS 5.0, 6.5.2).
RANDOM_BYTES = 15
GROUP_CHARACTERS = 4


def new_codes() -> list[str]:
    """Codes for one account, such as `gezd-gnbv-gy3t-qojq-gezd-gnbv`."""
    return [_new_code() for _ in range(NUMBER)]


def hash_of(code: str) -> bytes:
    """What is stored in place of a code. Case, blanks and hyphens do not count, as people type it from paper."""
    text = "".join(code.replace("-", " ").split()).lower()
    return hashlib.sha256(text.encode()).digest()


def _new_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode().lower()
    return "-".join(text[start : start + GROUP_CHARACTERS] for start in range(0, len(text), GROUP_CHARACTERS))
