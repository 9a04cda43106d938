"""One-time passwords: those of RFC 6238, appendix B, for a step to either side."""

from base64 import b32decode, b32encode
from urllib.parse import parse_qs, urlsplit

import pytest

from auth.domain.totp import looks_like_totp, new_secret, step_of, uri_of

SECRET = b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("now", "code"),
    # The last six of the eight digits of the appendix.
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_of_the_standard_are_found(now: int, code: str) -> None:
    assert step_of(SECRET, code, now) == now // 30
    assert step_of(SECRET, f" {code[:3]} {code[3:]} ", now) == now // 30


@pytest.mark.parametrize(
    ("seconds", "is_good"),
    [(-31, False), (-30, True), (-0.1, True), (0, True), (59.9, True), (60, False), (9000, False)],
)
def test_a_code_is_good_in_its_own_step_and_in_those_beside_it(seconds: float, is_good: bool) -> None:
    step = 1111111109 // 30
    assert step_of(SECRET, "081804", step * 30 + seconds) == (step if is_good else None)


@pytest.mark.parametrize(
    "code", ["287083", "", "28708", "2870820", "\uff12\uff18\uff17\uff10\uff18\uff12", "é", "94287082", "-287082"]
)
def test_anything_else_is_no_code(code: str) -> None:
    assert step_of(SECRET, code, 59) is None


@pytest.mark.parametrize(
    ("code", "is_totp"),
    [
        ("287082", True),
        ("287 082", True),
        ("28708", False),
        ("\uff12\uff18\uff17\uff10\uff18\uff12", False),
        ("gezd-gnbv-gy3t-qojq", False),
    ],
)
def test_six_digits_are_meant_as_a_one_time_password(code: str, is_totp: bool) -> None:
    assert looks_like_totp(code) is is_totp


def test_a_secret_has_160_random_bits() -> None:
    secrets = {new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert {len(b32decode(secret)) for secret in secrets} == {20}


def test_the_uri_names_the_account_and_its_keeper() -> None:
    uri = urlsplit(uri_of(SECRET, "ädä & co"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Errand:%C3%A4d%C3%A4%20%26%20co")
    assert parse_qs(uri.query) == {"secret": [SECRET], "issuer": ["Errand"]}
