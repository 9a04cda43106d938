"""One-time passwords by time (TOTP, RFC 6238), as authenticator apps make them: SHA-1, six digits, thirty seconds."""

import hmac

STEP_SECONDS = 30
# RFC 6238, section 5.2: a code may be on its way, and clocks differ. One step to either side, not more.
STEPS_ASIDE = 1
SECRET_CHARACTERS = 32  # 160 bits, the length of the hash, which RFC 4226 recommends in section 4, R6
# The name of the account's keeper that an app shows.
ISSUER = "Errand"


def new_secret() -> str:
    """A random secret, in base32 (RFC 4648, section 6)."""
    from pyotp import random_base32  # imported with the first use, as few log-ins need it

    return random_base32(SECRET_CHARACTERS)


def uri_of(secret: str, username: str) -> str:
    """The secret as the URI `otpauth://totp/…` that an app reads from a QR code."""
    from pyotp import TOTP  # for the same reason

    return TOTP(secret, name=username, issuer=ISSUER).provisioning_uri()


def looks_like_totp(code: str) -> bool:
    """Whether a code has six digits. If not, it may be a recovery code."""
    text = _without_groups(code)
    return len(text) == 6 and text.isascii() and text.isdecimal()


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step that a code is of, as a number since 1970; None if it is not of a step close to `now`.

    A code must count once (RFC 6238, section 5.2), so remember the step, and take later ones only.
    """
    current, given = int(now) // STEP_SECONDS, _without_groups(code).encode()
    steps = range(current - STEPS_ASIDE, current + STEPS_ASIDE + 1)
    found = [step for step in steps if hmac.compare_digest(_code(secret, step).encode(), given)]
    return max(found, default=None)


def _without_groups(code: str) -> str:
    return "".join(code.split())


def _code(secret: str, step: int) -> str:
    from pyotp import TOTP  # for the same reason

    return TOTP(secret).generate_otp(step)
