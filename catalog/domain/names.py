"""Names that people can read."""

# What Unicode calls default ignorable code points (UAX #44), which show nothing, and white space but the plain blank,
# with that of Braille.
_INVISIBLE = (
    r"\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800"
    r"\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
)
_CONTROL = r"\x00-\x1f\x7f-\x9f"

NO_CONTROL = f"^[^{_CONTROL}]*$"

# A text without control characters, of which at least one character can be seen; and the same in words.
READABLE = f"^[^{_CONTROL}]*[^{_CONTROL} {_INVISIBLE}][^{_CONTROL}]*$"
IN_WORDS = {"in_words": "not only blanks"}

# A text in which all can be seen, so that two that look the same are the same. Blanks only inside.
VISIBLE = f"^[^{_CONTROL} {_INVISIBLE}](?:[^{_CONTROL}{_INVISIBLE}]*[^{_CONTROL} {_INVISIBLE}])?$"
VISIBLE_IN_WORDS = {"in_words": "no blanks at the ends, nothing invisible"}
