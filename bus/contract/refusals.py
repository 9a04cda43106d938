"""Refusals: a handler's typed "no". A refusal is an answer and not a fault: the request is never retried."""

import re
from collections.abc import Sequence
from typing import ClassVar

from bus.contract.problems import FieldError, Problem, ProblemError


class Refusal(ProblemError):
    """Raised by a handler to refuse a request. What the handler did in the database is undone.

    Declare one as a fact, with the code on the wire and the HTTP status:

        class ProductNotFound(Refusal, code="catalog.product_not_found", status=404):
            \"\"\"No product has this id.\"\"\"

    The title is the class name in words, unless given. The detail is the first line of the docstring, unless the
    handler gives one; details given for an operation with secret fields are dropped (see `bus.contract.redaction`).

    With `keeps_changes=True`, what the handler wrote and emitted before is committed: for a refusal that has to be
    counted or recorded. `retry_after` is in seconds, for a refusal that ends by itself.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    keeps_changes: ClassVar[bool] = False

    def __init_subclass__(cls, *, code: str, status: int, title: str = "", keeps_changes: bool = False) -> None:
        if not 400 <= status <= 499:
            raise TypeError(f"{cls.__name__}: a refusal needs a status from 400 to 499, got {status}")
        cls.code, cls.status, cls.title = code, status, title or _in_words(cls.__name__)
        cls.keeps_changes = keeps_changes

    def __init__(self, detail: str = "", errors: Sequence[FieldError] = (), retry_after: int = 0) -> None:
        super().__init__(self.as_declared(detail, errors, retry_after))

    @classmethod
    def as_declared(cls, detail: str = "", errors: Sequence[FieldError] = (), retry_after: int = 0) -> Problem:
        """The problem document that the class declares, with this detail instead of its docstring's first line."""
        detail = detail or (cls.__doc__ or "").partition("\n")[0]
        return Problem.of(cls.code, cls.status, cls.title, detail, errors, retry_after)


class Refused(ProblemError):
    """Raised for any other problem in a reply, such as a refusal that is not declared: read `problem.code`."""


def _in_words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
