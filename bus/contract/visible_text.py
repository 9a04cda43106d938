"""Texts that people can see: names, reasons, keys. For text that is compared, and for text that is only read.

    Name = Annotated[str, Meta(min_length=1, max_length=200), READABLE]

What shows nothing is what Unicode calls default ignorable (the property Default_Ignorable_Code_Point of
DerivedCoreProperties.txt, UAX #44): format characters, variation selectors, tags, fillers, and code points that are
reserved for such. Python's `unicodedata` does not have it. White space but the plain blank and two symbols that are
blank by their names come to it.
"""

from msgspec import Meta

# Beyond U+FFFF the characters themselves, as no escape means the same in Python and in JSON Schema (ECMA-262).
_DEFAULT_IGNORABLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The property White_Space (PropList.txt); control characters are below.
_WHITE_SPACE = r"\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# BRAILLE PATTERN BLANK and MUSICAL SYMBOL NULL NOTEHEAD.
_BLANK_SYMBOLS = "\\u2800\U0001d159"
_INVISIBLE = _DEFAULT_IGNORABLE + _WHITE_SPACE + _BLANK_SYMBOLS
_CONTROL = r"\x00-\x1f\x7f-\x9f"

# A text without control characters in which something can be seen, or the empty text: `min_length=1` forbids that. It
# may have invisible characters too: emoji are made with them.
READABLE = Meta(
    pattern=f"^([^{_CONTROL}]*[^{_CONTROL} {_INVISIBLE}][^{_CONTROL}]*)?$",
    extra={"in_words": "not only blanks and invisible characters"},
)
# A text in which all can be seen, so that two that look the same are the same. Blanks only inside.
VISIBLE = Meta(
    pattern=f"^[^{_CONTROL} {_INVISIBLE}]([^{_CONTROL}{_INVISIBLE}]*[^{_CONTROL} {_INVISIBLE}])?$",
    extra={"in_words": "no blanks at the ends, nothing invisible"},
)
