"""Names: when two user names, or two email addresses, are the same."""

import unicodedata


def comparison_key(name: str) -> str:
    """What is compared in place of a name: case and compatibility forms are folded away.

    Unicode Standard, section 3.13, default caseless matching; Unicode Standard Annex 15, form NFKC.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
