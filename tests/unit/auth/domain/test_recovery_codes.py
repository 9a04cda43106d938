"""Recovery codes: ten, random, and the same however a person types them."""

import re

import pytest

from auth.domain.recovery_codes import hash_of, new_codes


def test_there_are_ten_different_ones_of_120_bits() -> None:
    codes = new_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch("([a-z2-7]{4}-){5}[a-z2-7]{4}", code) for code in codes)


@pytest.mark.parametrize("typed", ["GEZD-GNBV-GY3T-QOJQ", "gezdgnbvgy3tqojq", " gezd gnbv gy3t qojq "])
def test_case_blanks_and_hyphens_do_not_count(typed: str) -> None:
    assert hash_of(typed) == hash_of("gezd-gnbv-gy3t-qojq")


def test_the_hash_of_another_is_another() -> None:
    assert hash_of("gezd-gnbv-gy3t-qojr") != hash_of("gezd-gnbv-gy3t-qojq")
