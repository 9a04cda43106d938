"""Weak passwords: those that are guessed first."""

from functools import cache

from auth.domain.passwords import MIN_CHARACTERS, prepared

MOST_COMMON = 10_000
# zxcvbn's scores: 0 "too guessable" (fewer than 10^3 guesses), 1 "very guessable" (fewer than 10^6).
GUESSABLE_SCORE = 1
# The time of zxcvbn grows with the square of the length: 40 characters take about 30 ms. Longer passwords are checked
# by the other rules alone.
MOST_SCORED_CHARACTERS = 40


def weakness_of(password: str, *about: str) -> str:
    """Why a password is weak, as a sentence; empty when it is not. The sentence never repeats the password.

    `about` are the user name and the address.
    """
    password = prepared(password)
    folded = password.casefold()
    if len(password) < MIN_CHARACTERS:
        return f"It has fewer than {MIN_CHARACTERS} characters."
    if folded in _most_common():
        return f"It is one of the {MOST_COMMON} most common passwords."
    known = {text.casefold() for each in about for text in (each, each.partition("@")[0]) if text}
    if folded in known:
        return "It is the user name or the email address."
    if len(set(folded)) < 3:
        return "It repeats one or two characters."
    if len(password) <= MOST_SCORED_CHARACTERS and _score(password, sorted(known)) <= GUESSABLE_SCORE:
        return "It is a simple variation of a common password, a word, a pattern of keys, or of the name or address."
    return ""


def _score(password: str, about: list[str]) -> int:
    # Imported at the first use: the module holds megabytes of word lists.
    from zxcvbn import zxcvbn

    return int(zxcvbn(password, user_inputs=about)["score"])


@cache
def _most_common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # for the same reason

    return frozenset(FREQUENCY_LISTS["passwords"][:MOST_COMMON])
