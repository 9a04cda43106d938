"""Refusals: declared once, the same everywhere."""

import json

import pytest

from bus.contract.operations import Command, Reply
from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal
from bus.messaging.replies import EncodedReply, error_of
from bus.messaging.trace_context import begin


class SkuTakenAlready(Refusal, code="shop.sku_taken", status=409):
    """Another product has this number.

    More is not for callers.
    """


class Teapot(Refusal, code="shop.teapot", status=418, title="I am a teapot"):
    pass


class TooFew(Refusal, code="shop.too_few", status=409):
    """So many are not left."""

    left: int


class Take(Command[Reply], name="shop.take", refuses=[TooFew]):
    pass


@pytest.mark.parametrize("status", [200, 302, 399, 500, 503, 0])
def test_a_refusal_with_a_status_that_is_no_client_error_is_a_type_error(status: int) -> None:
    with pytest.raises(TypeError, match="a refusal needs a status from 400 to 499, got"):
        type("Bad", (Refusal,), {}, code="shop.bad", status=status)


def test_what_may_be_repeated_at_once_keeps_no_changes() -> None:
    with pytest.raises(TypeError, match="a command may be repeated after a 429"):
        type("Bad", (Refusal,), {}, code="shop.bad", status=429, keeps_changes=True)


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


def test_members_of_a_refusal_are_in_its_document_and_reach_the_caller() -> None:
    body = EncodedReply.problem(TooFew(left=3).problem).body
    assert json.loads(body)["left"] == 3
    error = error_of(Take, 409, body)
    assert isinstance(error, TooFew)
    assert (error.left, error.problem.code) == (3, "shop.too_few")
    older = EncodedReply.problem(TooFew().problem).body
    assert isinstance(error_of(Take, 409, older), TooFew)


def test_a_refusal_that_a_handler_passes_on_has_its_members_and_its_trace() -> None:
    trace = begin()
    error = error_of(Take, 409, EncodedReply.problem(TooFew(left=3).problem, trace).body)
    passed_on = error_of(Take, 409, EncodedReply.problem(error.problem).body)
    assert isinstance(passed_on, TooFew)
    assert (passed_on.left, passed_on.problem.trace_id) == (3, trace.trace_id)


@pytest.mark.parametrize("left", [b'"many"', b"null", b"[]"])
def test_a_refusal_of_another_release_whose_members_have_other_types_has_none(left: bytes) -> None:
    error = error_of(
        Take, 409, EncodedReply.problem(TooFew(left=3).problem).body.replace(b'"left":3', b'"left":' + left)
    )
    assert isinstance(error, TooFew)
    assert not hasattr(error, "left")
    assert (error.problem.code, error.problem.status) == ("shop.too_few", 409)


def test_members_that_are_not_declared_or_taken_are_type_errors() -> None:
    with pytest.raises(TypeError, match="TooFew has the members"):
        TooFew(right=3)
    with pytest.raises(TypeError, match="every problem document has detail already"):
        type("Bad", (Refusal,), {"__annotations__": {"detail": str}}, code="shop.bad", status=409)
