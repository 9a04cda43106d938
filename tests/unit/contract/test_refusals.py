"""Refusals: declared once, the same everywhere."""

import pytest

from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal


class SkuTakenAlready(Refusal, code="shop.sku_taken", status=409):
    """Another product has this number.

    More is not for callers.
    """


class Teapot(Refusal, code="shop.teapot", status=418, title="I am a teapot"):
    pass


@pytest.mark.parametrize("status", [200, 302, 399, 500, 503, 0])
def test_a_refusal_with_a_status_that_is_no_client_error_is_a_type_error(status: int) -> None:
    with pytest.raises(TypeError, match="a refusal needs a status from 400 to 499, got"):
        type("Bad", (Refusal,), {}, code="shop.bad", status=status)


def test_a_refusal_without_a_code_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        type("Bad", (Refusal,), {}, status=404)


def test_title_and_detail_come_from_the_class_unless_given() -> None:
    problem = SkuTakenAlready().problem
    assert (problem.status, problem.code, problem.title) == (409, "shop.sku_taken", "Sku taken already")
    assert problem.detail == "Another product has this number."
    assert SkuTakenAlready("Number 7 is taken.").problem.detail == "Number 7 is taken."
    assert Teapot().problem.title == "I am a teapot"


def test_the_title_is_repeated_where_older_programs_look_for_it() -> None:
    problem = SkuTakenAlready().problem
    assert problem.error == problem.message == problem.title
    assert problem.type == "urn:errand:problem:shop.sku_taken"


def test_a_refusal_names_fields_when_it_is_about_some() -> None:
    fault = FieldError("/sku", "Taken.", "taken")
    assert SkuTakenAlready(errors=[fault]).problem.errors == (fault,)
