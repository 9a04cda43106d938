"""The prefix: what stands before our paths in public, when a proxy takes it away before it asks us.

Pages have relative links. Here are the paths in answers, which services know without it.
"""

import re

import msgspec
from flask import Response

# Segments of RFC 3986's unreserved characters; in anything else, such as `//evil.example`, a browser could see a host.
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# The members of answers that are paths: of a page of a list, and of a command that is accepted.
_MEMBERS = ("next", "operation")


def add_prefix(response: Response, prefix: str) -> None:
    """Put the prefix before the paths in an answer's headers and body."""
    headers = response.headers
    if (location := headers.get("Location", "")).startswith("/"):
        headers["Location"] = prefix + location
    if (link := headers.get("Link", "")).startswith("</"):
        headers["Link"] = f"<{prefix}{link[1:]}"
    if location or link:
        response.set_data(_with_prefix(response.get_data(), prefix))


def _with_prefix(body: bytes, prefix: str) -> bytes:
    """The body, with all but these members byte for byte as it was."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:  # empty
        return body
    for name in _MEMBERS:
        if bytes(members.get(name, b"")).startswith(b'"/'):
            path = msgspec.json.decode(members[name], type=str)
            members[name] = msgspec.Raw(msgspec.json.encode(prefix + path))
    return msgspec.json.encode(members)
