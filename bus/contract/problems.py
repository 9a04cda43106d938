"""Problem documents: the one shape of every error, over HTTP and in replies (RFC 9457)."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import msgspec

# The title of every 422 for what a contract does not accept. By it callers know one whose code a service defines.
INVALID_TITLE = "Invalid request"


class FieldError(msgspec.Struct, frozen=True):
    """One fault of one field: `pointer` is a JSON pointer into the body (RFC 6901)."""

    pointer: str
    detail: str
    code: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document (RFC 9457, section 3.1).

    `error` and `message` repeat the title: clients of plain Flask services read one of them. `trace_id` is the trace of
    the request (32 hexadecimal digits), by which an operator finds it in logs and traces.
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
    trace_id: str = ""

    @classmethod
    def of(
        cls,
        code: str,
        status: int,
        title: str,
        detail: str = "",
        errors: Sequence[FieldError] = (),
        retry_after: int = 0,
        **members: Any,
    ) -> Self:
        """A document; `type`, `error` and `message` follow from the code and the title. `retry_after` is in seconds.

        `members` are those that a subclass adds.
        """
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
            **members,
        )


class ProblemError(Exception):
    """The base of all errors that a caller gets as a problem document."""

    retry_after: ClassVar[int] = 0

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class Invalid(ProblemError):
    """Raised for a request that is not acceptable (400, 413, 415, 422 or 429). The sender's fault.

    `retry_after` is in seconds, for 429.
    """

    def __init__(
        self,
        code: str,
        status: int,
        title: str,
        detail: str = "",
        errors: Sequence[FieldError] = (),
        retry_after: int = 0,
    ) -> None:
        super().__init__(Problem.of(code, status, title, detail, errors, retry_after))


class Unavailable(ProblemError):
    """Raised when a request was not accepted or no worker could answer it (503). Try again later.

    The cause is overload, a broker or database that cannot be reached, or a service without a worker. With the code
    `outcome-unknown` the request may have been accepted: send it again with the same message id.
    """

    def __init__(self, code: str, detail: str, retry_after: int = 1) -> None:
        super().__init__(Problem.of(code, 503, "Service unavailable", detail, retry_after=retry_after))


class ReplyTimeout(ProblemError):
    """Raised when a request was accepted, but no reply came within the caller's time (504).

    A query is then lost. A transient command may have been carried out or not. A command is never lost: the broker
    keeps it, it will be carried out once, and its outcome can be read with `message_id`.
    """

    def __init__(self, operation: str, message_id: str, seconds: float) -> None:
        detail = f"{operation} was not answered in {seconds:g} s."
        super().__init__(Problem.of("answer-late", 504, "Answer late", detail))
        self.operation = operation
        self.message_id = message_id
