"""Problem documents: the one shape of every error, over HTTP and in replies (RFC 9457)."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one field: `pointer` is a JSON pointer into the body (RFC 6901)."""

    pointer: str
    detail: str
    code: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457, section 3.1).

    `error` and `message` repeat the title: programs written against plain Flask services read one
    of them.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    error: str = ""
    message: str = ""
    errors: tuple[FieldError, ...] = ()
    retry_after: int = 0

    @classmethod
    def of(
        cls,
        code: str,
        status: int,
        title: str,
        detail: str = "",
        errors: Sequence[FieldError] = (),
        retry_after: int = 0,
    ) -> "Problem":
        """A document with the members that follow from the others filled in; `retry_after` in seconds."""
        return cls(
            type=f"urn:errand:problem:{code}",
            title=title,
            status=status,
            code=code,
            detail=detail,
            error=title,
            message=title,
            errors=tuple(errors),
            retry_after=retry_after,
        )


class ProblemError(Exception):
    """The root of the error tree: an outcome that is told to the caller as a problem document."""

    retry_after: ClassVar[int] = 0

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class Invalid(ProblemError):
    """A request that is not acceptable as it stands (400, 413, 415 or 422). The sender's fault."""

    def __init__(self, code: str, status: int, title: str, detail: str = "", errors: Sequence[FieldError] = ()) -> None:
        super().__init__(Problem.of(code, status, title, detail, errors))


class Unavailable(ProblemError):
    """The request was not accepted, or nobody could answer it (503): try again later.

    Nobody's fault: overload, a broker or database that is away, no worker. When `code` is
    `outcome-unknown` it may have been accepted; the same id sent again settles it.
    """

    def __init__(self, code: str, detail: str, retry_after: int = 1) -> None:
        super().__init__(Problem.of(code, 503, "Service unavailable", detail, retry_after=retry_after))


class ReplyTimeout(ProblemError):
    """The request was accepted, but its answer did not come within the caller's time.

    For a query (504) that ends it. For a command it does not: the broker keeps it, it will be
    carried out once, and `message_id` is the name its outcome can be read under.
    """

    def __init__(self, operation: str, message_id: str, seconds: float) -> None:
        detail = f"{operation} was not answered in {seconds:g} s."
        super().__init__(Problem.of("answer-late", 504, "Answer late", detail))
        self.operation = operation
        self.message_id = message_id
