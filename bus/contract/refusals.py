"""Refusals: a service's typed "no". An answer, not a fault: never retried."""

import re
from collections.abc import Sequence
from typing import ClassVar

from bus.contract.problems import FieldError, Problem, ProblemError


class Refusal(ProblemError):
    """Raised by a handler to answer no. What it did in the database is undone.

    Declare one as a fact, with the code that goes on the wire and the HTTP status:

        class ProductNotFound(Refusal, code="catalog.product_not_found", status=404):
            \"\"\"No product has this id.\"\"\"

    The title is the class name in words, the detail the first line of the docstring, unless given.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]

    def __init_subclass__(cls, *, code: str, status: int, title: str = "") -> None:
        if not 400 <= status <= 499:
            raise TypeError(f"{cls.__name__}: a refusal has a 4xx status, not {status}")
        cls.code, cls.status, cls.title = code, status, title or _in_words(cls.__name__)

    def __init__(self, detail: str = "", errors: Sequence[FieldError] = ()) -> None:
        detail = detail or (self.__doc__ or "").partition("\n")[0]
        super().__init__(Problem.of(self.code, self.status, self.title, detail, errors))


class Refused(ProblemError):
    """An answer of no whose class the caller does not know: read `problem.code`."""


def _in_words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
