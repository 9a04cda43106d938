"""Hashes of passwords: those that we make, and those of accounts that were imported from other programs.

A hash says itself how it was made. What it may cost to check one is limited, since each log-in pays for it.
"""

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from bus import RuleViolation

# About a second of CPU time each, some thirty times what our own parameters cost (`passwords.py`).
MOST_BCRYPT_COST = 14
MOST_PBKDF2_ITERATIONS = 3_000_000
# Of Argon2 and scrypt: what one hash holds at a time, and what it writes in all its passes.
MOST_MEMORY_KIB = 256 * 1024
MOST_WRITTEN_KIB = 1024 * 1024
MOST_LANES = 16
MAX_CHARACTERS = 512

BCRYPT_BYTES = 72


@dataclass(frozen=True)
class PasswordHash:
    """A field's rule: a hash that `matches` can check, at a bounded cost."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid-password-hash), which does not repeat the hash."""
        check_cost(str(value))

    def in_words(self) -> str:
        """What it takes."""
        return "a hash by Argon2, bcrypt, PBKDF2 with SHA-256, or scrypt, as Django, Werkzeug and others write it"


def check_cost(password_hash: str) -> None:
    """Raises RuleViolation for a text that is not a known hash, or one that takes too long to check."""
    for scheme in _SCHEMES:
        if found := scheme.pattern.fullmatch(password_hash):
            scheme.check(_numbers(found))
            return
    raise RuleViolation(
        "invalid-password-hash",
        "This is not a hash by Argon2 ($argon2id$…), bcrypt ($2b$…, bcrypt_sha256$…), PBKDF2 with SHA-256 "
        "(pbkdf2_sha256$…, pbkdf2:sha256:…) or scrypt (scrypt:N:r:p$…). Leave it out where there is no password.",
    )


def matches(password: str, password_hash: str) -> bool:
    """Whether this is the password of a hash, character by character.

    False for what is not a known hash, or has parameters that its library refuses.
    """
    for scheme in _SCHEMES:
        if found := scheme.pattern.fullmatch(password_hash):
            try:
                return scheme.matches(password.encode(), found)
            except ValueError:
                return False
    return False


class _Scheme(NamedTuple):
    """One way to write a hash. The groups of `pattern` with names of one letter are numbers, which `check` limits."""

    pattern: re.Pattern[str]
    check: Callable[[dict[str, int]], None]
    matches: Callable[[bytes, re.Match[str]], bool]


def _numbers(found: re.Match[str]) -> dict[str, int]:
    return {name: int(value) for name, value in found.groupdict().items() if len(name) == 1}


def _at_most(what: str, number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise RuleViolation("invalid-password-hash", f"{what} is {number}. It must be from 1 to {most}.")


def _check_argon2(numbers: dict[str, int]) -> None:
    _at_most("Its memory in KiB (m)", numbers["m"], MOST_MEMORY_KIB)
    _at_most("Its memory times its passes (m * t)", numbers["m"] * numbers["t"], MOST_WRITTEN_KIB)
    _at_most("The number of its lanes (p)", numbers["p"], MOST_LANES)


def _check_bcrypt(numbers: dict[str, int]) -> None:
    if numbers["c"] < 4:
        raise RuleViolation("invalid-password-hash", "Its cost is below 4, which bcrypt does not know.")
    _at_most("Its cost", numbers["c"], MOST_BCRYPT_COST)


def _check_pbkdf2(numbers: dict[str, int]) -> None:
    _at_most("The number of its iterations", numbers["i"], MOST_PBKDF2_ITERATIONS)


def _check_scrypt(numbers: dict[str, int]) -> None:
    n, r, p = (numbers[name] for name in "nrp")
    if n < 2 or n & (n - 1):
        raise RuleViolation("invalid-password-hash", f"Its N is {n}. It must be a power of two (RFC 7914, section 2).")
    if n.bit_length() > 16 * r:
        raise RuleViolation(
            "invalid-password-hash", f"Its N is {n}. It must be below 2^(16 * r) (RFC 7914, section 2)."
        )
    _at_most("Its memory times its parallelism (N * r / 8 * p)", max(1, n * r // 8) * p, MOST_WRITTEN_KIB)
    _at_most("Its memory in KiB ((N + p + 2) * r / 8)", max(1, _scrypt_bytes(n, r, p) // 1024), MOST_MEMORY_KIB)


def _scrypt_bytes(n: int, r: int, p: int) -> int:
    """What OpenSSL takes: N blocks, and p more, of 128 * r bytes (RFC 7914, section 2), and two to work with."""
    return 128 * r * (n + p + 2)


def _is_argon2(password: bytes, found: re.Match[str]) -> bool:
    try:
        return _ANY_ARGON2.verify(found["phc"], password)
    except VerificationError:
        return False


def _is_bcrypt(password: bytes, found: re.Match[str]) -> bool:
    """What follows the 72nd byte never counted (Provos and Mazières, "A Future-Adaptable Password Scheme")."""
    import bcrypt  # imported with the first such hash: most systems have none

    return bcrypt.checkpw(password[:BCRYPT_BYTES], found["bcrypt"].encode())


def _is_bcrypt_sha256(password: bytes, found: re.Match[str]) -> bool:
    return _is_bcrypt(hashlib.sha256(password).hexdigest().encode(), found)


def _is_pbkdf2(password: bytes, found: re.Match[str]) -> bool:
    expected = _bytes_of(found)
    derived = hashlib.pbkdf2_hmac("sha256", password, found["salt"].encode(), int(found["i"]), len(expected))
    return hmac.compare_digest(derived, expected)


def _is_scrypt(password: bytes, found: re.Match[str]) -> bool:
    expected, (n, r, p) = _bytes_of(found), (int(found[name]) for name in "nrp")
    most, salt = _scrypt_bytes(n, r, p), found["salt"].encode()
    derived = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=most, dklen=len(expected))
    return hmac.compare_digest(derived, expected)


def _bytes_of(found: re.Match[str]) -> bytes:
    """The hash proper: Django writes it in base64, Werkzeug in hexadecimal digits."""
    groups = found.groupdict()
    return bytes.fromhex(groups["hex"]) if groups.get("hex") else b64decode(groups["base64"])


_ANY_ARGON2 = PasswordHasher()  # the parameters are those of the hash

# The salt has 128 bits in 22 characters of six: of the last one, two count.
_BCRYPT = r"(?P<bcrypt>\$2[aby]\$(?P<c>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31})"
_SALT = r"(?P<salt>[\x21-\x23\x25-\x7e]{1,64})"
_SCHEMES = (
    # RFC 9106, in PHC string format; Django writes its own name before that.
    _Scheme(
        re.compile(
            r"(?:argon2)?(?P<phc>\$argon2(?:id|i|d)\$(?:v=(?:16|19)\$)?m=(?P<m>[0-9]{1,10}),t=(?P<t>[0-9]{1,10}),"
            r"p=(?P<p>[0-9]{1,10})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86})"
        ),
        _check_argon2,
        _is_argon2,
    ),
    _Scheme(re.compile(rf"(?:bcrypt\$)?{_BCRYPT}"), _check_bcrypt, _is_bcrypt),
    _Scheme(re.compile(rf"bcrypt_sha256\${_BCRYPT}"), _check_bcrypt, _is_bcrypt_sha256),
    # RFC 8018, section 5.2, as Django and Werkzeug write it.
    _Scheme(
        re.compile(rf"pbkdf2_sha256\$(?P<i>[0-9]{{1,10}})\${_SALT}\$(?P<base64>[A-Za-z0-9+/]{{43}}=)"),
        _check_pbkdf2,
        _is_pbkdf2,
    ),
    _Scheme(
        re.compile(rf"pbkdf2:sha256:(?P<i>[0-9]{{1,10}})\${_SALT}\$(?P<hex>[0-9a-f]{{64}})"),
        _check_pbkdf2,
        _is_pbkdf2,
    ),
    # RFC 7914, as Werkzeug and Django write it.
    _Scheme(
        re.compile(
            r"scrypt:(?P<n>[0-9]{1,10}):(?P<r>[0-9]{1,10}):(?P<p>[0-9]{1,10})\$"
            rf"{_SALT}\$(?P<hex>[0-9a-f]{{128}})"
        ),
        _check_scrypt,
        _is_scrypt,
    ),
    _Scheme(
        re.compile(
            rf"scrypt\$(?P<n>[0-9]{{1,10}})\${_SALT}\$(?P<r>[0-9]{{1,10}})\$(?P<p>[0-9]{{1,10}})\$"
            r"(?P<base64>[A-Za-z0-9+/]{86}==)"
        ),
        _check_scrypt,
        _is_scrypt,
    ),
)
