"""Replies: how a status and a body become a reply message, and how a caller reads one. HTTP sends the same two."""

import re
from collections.abc import Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import structs

from bus.contract.codec import encode, read_json
from bus.contract.fields import holds_secrets
from bus.contract.identity import CHALLENGE
from bus.contract.operations import Operation, Reply
from bus.contract.problems import INVALID_TITLE, Invalid, Problem, ProblemError, Unavailable
from bus.contract.redaction import encode_without_secrets
from bus.contract.refusals import Refused
from bus.messaging.message import JSON, PROBLEM, Message
from bus.messaging.trace_context import Trace

# The command is stored and will be carried out; its real reply comes later (RFC 9110, section 15.3.3).
ACCEPTED = 202

# A success without a body (RFC 9110, section 15.3.5).
NO_CONTENT = 204

NOTHING: Mapping[str, object] = MappingProxyType({})


class EncodedReply(msgspec.Struct, frozen=True):
    """A reply as bytes. `location` is the path of what was created, if anything was.

    `cut_body` is the body without its secrets, which the inbox keeps and a duplicate gets: secrets are sent only in the
    first reply. It is empty if the body has none. `challenge` is the value of `WWW-Authenticate`.
    `version` is that of what the reply shows, if it has one, and `next_page` the path of the next page of a list.
    """

    status: int
    body: bytes
    location: str = ""
    retry_after: int = 0
    cut_body: bytes = b""
    challenge: str = ""
    version: str = ""
    next_page: str = ""

    @classmethod
    def of(cls, reply: Reply, status: int, next_page: str = "") -> "EncodedReply":
        """A success."""
        cut_body = encode_without_secrets(reply) if holds_secrets(type(reply)) else b""
        body = b"" if status == NO_CONTENT else encode(reply)
        version = str(attrgetter(reply.version_path)(reply)) if reply.version_path else ""
        return cls(status, body, reply.location() or "", cut_body=cut_body, version=version, next_page=next_page)

    @classmethod
    def problem(cls, problem: Problem, trace: Trace | None = None, challenge: str = "") -> "EncodedReply":
        """A refusal or an error, in this trace."""
        if trace is not None:
            problem = structs.replace(problem, trace_id=trace.trace_id)
        return cls(problem.status, encode(problem), "", problem.retry_after, challenge=challenge)

    @classmethod
    def accepted(cls, message_id: str) -> "EncodedReply":
        """A command that is stored and not carried out yet, with the path where its outcome can be read."""
        location = f"/operations/{quote(message_id, safe='')}"
        body = msgspec.json.encode({"message": "Accepted", "operation": location})
        return cls(ACCEPTED, body, location, retry_after=1)

    def to(self, request: Message, more: Mapping[str, object] = NOTHING) -> Message | None:
        """The reply message, with `more` headers; None if the request has no `reply_to`."""
        if not request.reply_to:
            return None
        headers: dict[str, object] = {"status": self.status, **more}
        if self.location:
            headers["location"] = self.location
        if self.version:
            headers["etag"] = f'"{self.version}"'
        if self.next_page:
            headers["link"] = f'<{self.next_page}>; rel="next"'
        if self.retry_after:
            headers["retry-after"] = self.retry_after
        if challenge := self.challenge or (CHALLENGE if self.status == 401 else ""):
            headers["www-authenticate"] = challenge
        return Message(
            queue=request.reply_to,
            body=self.body,
            correlation_id=request.correlation_id,
            content_type=(PROBLEM if self.status >= 400 else JSON) if self.body else None,
            headers=headers,
        )


# A strong entity tag (RFC 9110, section 8.8.3) of ours: a version in quotes.
VERSION_TAG = r'"[0-9]{1,18}"'
# What HTTP may relay: not an address on another host, and nothing that ends a header.
_ETAG = re.compile(VERSION_TAG)
_PATH = re.compile(r"/(?!/)[\x21-\x5b\x5d-\x7e]{0,1000}")
# The next page of a list (RFC 8288), on the same host.
_LINK = re.compile(r'</(?!/)[\x21-\x3b\x3d\x3f-\x5b\x5d-\x7e]{0,8000}>; rel="next"')
_RETRY_AFTER = range(1, 86_401)

_NOT_ACCEPTABLE = (400, 413, 415, 422)


# The inbox row of an event needs a reply, and a listener sends none.
EVENT_HANDLED = EncodedReply(204, b"{}")


def status_of(reply: Message) -> int:
    """The status of a reply, with the meaning it has in HTTP (RFC 9110, section 15); 500 if it carries none."""
    status = reply.headers.get("status")
    return status if isinstance(status, int) else 500


def defect_of(reply: Message) -> str:
    """Why this is no reply as workers send them (docs/wire.md, "Replies"); empty if it is one."""
    status, content_type, headers = reply.headers.get("status"), reply.content_type, reply.headers
    if not isinstance(status, int) or isinstance(status, bool) or not (200 <= status < 300 or 400 <= status < 600):
        return f"The header status is {str(status)[:20]!r}; expected 200 to 299, or 400 to 599."
    if content_type is not None and content_type != (PROBLEM if status >= 400 else JSON):
        return f"The content type {content_type[:80]!r} does not belong to the status {status}."
    location, retry_after, etag = headers.get("location"), headers.get("retry-after"), headers.get("etag")
    if etag is not None and not (isinstance(etag, str) and _ETAG.fullmatch(etag)):
        return "The header etag is not a version in quotes."
    if (link := headers.get("link")) is not None and not (isinstance(link, str) and _LINK.fullmatch(link)):
        return "The header link is not the path of a next page."
    if location is not None and not (isinstance(location, str) and _PATH.fullmatch(location)):
        return "The header location is not a path."
    if retry_after is not None and not (type(retry_after) is not bool and retry_after in _RETRY_AFTER):
        return "The header retry-after is not a number of seconds up to a day."
    return ""


def error_of(operation: type[Operation[Any]], status: int, body: bytes) -> ProblemError:
    """The exception for a reply that is a problem document. Each carries the problem's code and detail."""
    problem = read_json(body, Problem)
    if problem.code in operation.refusals:
        return operation.refusals[problem.code].in_reply(body)
    error = _error(status, problem)
    error.problem = problem  # as it came, with its trace
    return error


def _error(status: int, problem: Problem) -> ProblemError:
    # A service's own refusals have its name before a dot, and so may what its contract says of a field.
    if status in _NOT_ACCEPTABLE and ("." not in problem.code or problem.title == INVALID_TITLE):
        return Invalid(problem.code, status, problem.title, problem.detail, problem.errors)
    if status == 503:
        return Unavailable(problem.code, problem.detail, problem.retry_after or 1)
    return Refused(problem)
