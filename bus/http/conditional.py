"""Conditional requests (RFC 9110, section 13): entity tags, and changes of a version that the caller knows."""

import re
from typing import Any

from flask import Request, Response

from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.messaging.replies import VERSION_TAG

_TAG = re.compile(VERSION_TAG)


def version_field(operation: type[Operation[Any]], header: str) -> dict[str, object]:
    """The field with the version that `If-Match` names; none for `*`, which any version matches.

    Raises Invalid (400): a weak tag never matches (section 13.1.1), and of several tags one would be a guess.
    """
    header = header.strip(" \t")
    if header == "*":
        return {}
    if not _TAG.fullmatch(header):
        detail = 'If-Match takes one ETag as it was sent, such as "7" with its quotes, or *.'
        raise Invalid("invalid-if-match", 400, "Invalid If-Match", detail)
    return {operation.if_match: int(header.strip('"'))}


def make_cacheable(response: Response, request: Request) -> None:
    """Let a cache keep the answer to a query and ask whether it still holds; 304 if the client has this version.

    What has no version of its own has a digest of its body as entity tag.
    """
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    if "HTTP_IF_NONE_MATCH" in request.environ:
        response.make_conditional(request)
