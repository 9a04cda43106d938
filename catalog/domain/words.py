"""Words: what a search finds a product by. Both databases get the same ones, and cut nothing by themselves.

Case, diacritics and the form of letters do not count: `Éclair`, `ECLAIR` and `eclair` are one word, as are `ﬁne` and
`fine`. A word is a run of letters and digits; a hyphen or another sign ends it, an apostrophe does not (`men's`). Where
words have no blanks between them, each character is one: Chinese and Japanese.

The terms of a product are its words, those of its tags among them, and the tags themselves, separated by blanks. A tag
is one term, which is never a word.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

# A longer word is cut, on both sides of the search.
MOST_CHARACTERS = 60
MOST_SORT_CHARACTERS = 100

# Letters that do not decompose, and yet are written without their stroke where keyboards lack them.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "\u0131": "i", "æ": "ae", "œ": "oe"})
# Marks above and below letters, the points of Hebrew and the vowels of Arabic, and what shows nothing. Marks of other
# scripts are letters.
_MARKS = re.compile(
    "[\\u0300-\\u036f\\u0591-\\u05c7\\u0610-\\u061a\\u064b-\\u065f\\u0670\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff"
    "\\ufe20-\\ufe2f\\u00ad\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\ufeff]"
)
_APOSTROPHES = re.compile("(?<=\\w)['\\u2019\\u02bc](?=\\w)")
_PLAIN_WORDS = re.compile("[a-z0-9]+")
# Han, Hiragana and Katakana.
_ALONE = re.compile(
    "[\\u3005-\\u3007\\u3041-\\u30ff\\u31f0-\\u31ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\U00020000-\\U0003ffff]"
)

# Private characters (Unicode, 23.5), which no word has: the first begins a tag, the other a character as its number.
_TAG, _NUMBER = "\ue000", "\ue001"
# All that the index of either database would cut, fold or confuse.
_NOT_PLAIN = re.compile(f"[\\x00-\\x2f\\x3a-\\x60\\x7b-\\x7f{_TAG}{_NUMBER}]")


def words_of(text: str) -> list[str]:
    """The words of a text, in their order."""
    if text.isascii():
        return [word[:MOST_CHARACTERS] for word in _PLAIN_WORDS.findall(_APOSTROPHES.sub("", text.lower()))]
    return list(_words_in(_folded(text)))


def terms_of(texts: Iterable[str], tags: Sequence[str]) -> str:
    """The terms of a product with these texts and tags, each once."""
    words = dict.fromkeys(word for text in (*texts, *tags) for word in words_of(text))
    return " ".join([*words, *map(term_of_tag, tags)])


def term_of_tag(tag: str) -> str:
    """The term of exactly this tag."""
    return _TAG + _NOT_PLAIN.sub(lambda found: f"{_NUMBER}{ord(found[0]):04x}", tag)


def sort_key(name: str) -> str:
    """By what a name is sorted: its words."""
    return " ".join(words_of(name))[:MOST_SORT_CHARACTERS]


def _folded(text: str) -> str:
    """The text without case, compatibility forms and diacritics (Unicode, 3.13 and UAX #15)."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_PLAIN)
    return unicodedata.normalize("NFC", _MARKS.sub("", plain))


def _words_in(folded: str) -> Iterator[str]:
    word: list[str] = []
    for character in _APOSTROPHES.sub("", folded):
        is_letter = character.isalnum() or unicodedata.category(character)[0] == "M"
        is_alone = is_letter and _ALONE.match(character) is not None
        if word and (is_alone or not is_letter):
            yield "".join(word)[:MOST_CHARACTERS]
            word = []
        if is_alone:
            yield character
        elif is_letter:
            word.append(character)
    if word:
        yield "".join(word)[:MOST_CHARACTERS]
