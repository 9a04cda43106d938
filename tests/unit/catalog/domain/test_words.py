"""Words: what a person types finds what a person has written, however either is written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.domain.words import MOST_CHARACTERS, sort_key, term_of_tag, terms_of, words_of

WORDS = {
    "Red Lamp": ["red", "lamp"],
    "  ": [],
    "!?-_/": [],
    "👨\u200d👩": [],
    "T-Shirt": ["t", "shirt"],
    "men's o\u2019clock 'quoted'": ["mens", "oclock", "quoted"],
    "snake_case/and.dots": ["snake", "case", "and", "dots"],
    "9.90 1,000 AB-123": ["9", "90", "1", "000", "ab", "123"],
    "Éclair ECLAIR e\u0301clair": ["eclair", "eclair", "eclair"],
    "Straße STRASSE": ["strasse", "strasse"],
    "Łódź Øresund Æther": ["lodz", "oresund", "aether"],
    "\ufb01ne \uff21\uff22\uff23\uff11 m² №5": ["fine", "abc1", "m2", "no5"],
    "soft\u00adhyphen x\u200dy": ["softhyphen", "xy"],
    "Жди ЖДИ": ["жди", "жди"],
    "Ελλάς": ["ελλασ"],
    "שָׁלוֹם": ["שלום"],
    "हिन्दी भाषा": ["हिन्दी", "भाषा"],
    "한국어": ["한국어"],
    "灯台もと": ["灯", "台", "も", "と"],
    "Lampe灯3": ["lampe", "灯", "3"],
    "がガ": ["が", "ガ"],
    "\u0130stanbul \u0131": ["istanbul", "i"],
}


@pytest.mark.parametrize("text", WORDS)
def test_a_text_has_these_words(text: str) -> None:
    assert words_of(text) == WORDS[text]


@given(st.text(max_size=40))
def test_neither_case_nor_the_form_of_its_characters_changes_the_words_of_a_text(text: str) -> None:
    words = words_of(text)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert words_of(unicodedata.normalize(form, text)) == words
    assert words_of(text.casefold()) == words
    assert words_of(" ".join(words)) == words


@given(st.text(max_size=100))
def test_no_word_has_what_ends_one_or_more_than_an_index_takes(text: str) -> None:
    for word in words_of(text):
        assert 1 <= len(word) <= MOST_CHARACTERS
        assert not {*" '\"\\*:&|!()<>-\x00\ue000\ue001"} & {*word}
        assert word == word.lower() or not word.isascii()


@given(st.lists(st.text(min_size=1, max_size=10), unique=True, max_size=5))
def test_each_tag_is_a_term_of_its_own_and_no_word(tags: list[str]) -> None:
    terms = [term_of_tag(tag) for tag in tags]
    assert len({*terms}) == len(tags)
    for term in terms:
        assert not {*" \"'*"} & {*term}
        assert term == "".join(each.lower() if each.isascii() else each for each in term)
        assert words_of(term) != [term]
    assert [each for each in terms_of([], tags).split(" ") if each.startswith("\ue000")] == terms


def test_the_words_of_all_texts_are_terms_each_once() -> None:
    assert terms_of(["Red Lamp", "", "lamp, RED!"], ["a"]) == "red lamp a \ue000a"


def test_names_are_sorted_by_their_words() -> None:
    names = ["zebra", "Äpfel", "apple", "Zoo", "T-shirt", "t shirt 2"]
    assert sorted(names, key=sort_key) == ["Äpfel", "apple", "T-shirt", "t shirt 2", "zebra", "Zoo"]
