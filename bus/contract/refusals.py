"""Refusals: a handler's typed "no". A refusal is an answer and not a fault: the request is never retried."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self, get_origin, get_type_hints

import msgspec

from bus.contract.codec import read_json
from bus.contract.problems import FieldError, Problem, ProblemError


class Refusal(ProblemError):
    """Raised by a handler to refuse a request. What the handler did in the database is undone.

    Declare one as a fact, with the code on the wire and the HTTP status:

        class ProductNotFound(Refusal, code="catalog.product_not_found", status=404):
            \"\"\"No product has this id.\"\"\"

    The title is the class name in words, unless given. The detail is the first line of the docstring, unless the
    handler gives one; details given for an operation with secret fields are dropped (see `bus.contract.redaction`).

    Annotations are further members of the problem document (RFC 9457, section 3.2), which a handler gives by name and a
    caller finds as attributes:

        class InsufficientStock(Refusal, code="catalog.insufficient_stock", status=409):
            \"\"\"Fewer pieces are available than are asked for.\"\"\"

            available: int

        raise InsufficientStock(available=3)

    With `keeps_changes=True`, what the handler wrote and emitted before is committed: for a refusal that has to be
    counted or recorded. `retry_after` is in seconds, for a refusal that ends by itself.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    keeps_changes: ClassVar[bool] = False
    members: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    problem_type: ClassVar[type[Problem]] = Problem

    def __init_subclass__(cls, *, code: str, status: int, title: str = "", keeps_changes: bool = False) -> None:
        if not 400 <= status <= 499:
            raise TypeError(f"{cls.__name__}: a refusal needs a status from 400 to 499, got {status}")
        if status == 429 and keeps_changes:
            raise TypeError(f"{cls.__name__}: a command may be repeated after a 429, so that must change nothing")
        cls.code, cls.status, cls.title = code, status, title or _in_words(cls.__name__)
        cls.keeps_changes = keeps_changes
        hints = get_type_hints(cls, include_extras=True)
        cls.members = MappingProxyType({name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar})
        if taken := sorted(cls.members.keys() & {*Problem.__struct_fields__, "problem"}):
            raise TypeError(f"{cls.__name__}: every problem document has {taken[0]} already; choose another name")
        if cls.members:
            fields = list(cls.members.items())
            made: Any = msgspec.defstruct(f"{cls.__name__}Problem", fields, bases=(Problem,), kw_only=True, frozen=True)
            cls.problem_type = made

    def __init__(
        self, detail: str = "", errors: Sequence[FieldError] = (), retry_after: int = 0, **members: Any
    ) -> None:
        if members.keys() - self.members.keys():
            raise TypeError(f"{type(self).__name__} has the members {[*self.members]}, and not {[*members]}")
        super().__init__(self.as_declared(detail, errors, retry_after, **members))
        vars(self).update(members)

    @classmethod
    def as_declared(
        cls, detail: str = "", errors: Sequence[FieldError] = (), retry_after: int = 0, **members: Any
    ) -> Problem:
        """The problem document that the class declares, with this detail instead of its docstring's first line."""
        detail = detail or (cls.__doc__ or "").partition("\n")[0]
        document = cls.problem_type if members else Problem
        return document.of(cls.code, cls.status, cls.title, detail, errors, retry_after, **members)

    @classmethod
    def in_reply(cls, body: bytes) -> Self:
        """The refusal that this problem document is, which a handler may pass on as it came.

        It has no members unless all are there and have their types: a service of another release may have others.
        Raises msgspec.DecodeError.
        """
        members: dict[str, Any] = {}
        try:
            problem = read_json(body, cls.problem_type)
            members = {name: getattr(problem, name) for name in cls.members}
        except msgspec.ValidationError:
            problem = read_json(body, Problem)
        refusal = cls(problem.detail, problem.errors, problem.retry_after, **members)
        refusal.problem = problem
        return refusal


class Refused(ProblemError):
    """Raised for any other problem in a reply, such as a refusal that is not declared: read `problem.code`."""


def _in_words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
