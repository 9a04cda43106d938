"""Weak passwords: those that are guessed first."""

from functools import cache

MOST_COMMON = 3000


def weakness_of(password: str, username: str, email: str) -> str:
    """Why a password is weak, as a sentence; empty when it is not. The sentence never repeats the password."""
    folded = password.casefold()
    if folded in _most_common():
        return f"It is one of the {MOST_COMMON} most common passwords."
    if folded in {username.casefold(), email.casefold(), email.partition("@")[0].casefold()}:
        return "It is the user name or the email address."
    if len(set(folded)) < 3:
        return "It repeats one or two characters."
    return ""


@cache
def _most_common() -> frozenset[str]:
    # Imported at the first use: the module holds megabytes of word lists.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(FREQUENCY_LISTS["passwords"][:MOST_COMMON])
