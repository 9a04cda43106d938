"""Calls: requests that have been read and found valid, in a worker's hands."""

import hashlib
from typing import Any

import msgspec

from bus.codec import encode_without_secrets
from bus.operation import Operation

ANONYMOUS = "anonymous"


class Call(msgspec.Struct, frozen=True):
    """A valid request and who sent it. Calls without a message id are not protected from repetition."""

    operation: type[Operation[Any]]
    request: Operation[Any]
    message_id: str | None
    caller: str = ANONYMOUS

    @property
    def digest(self) -> bytes:
        """What tells another request under the same id; secrets are no part of it, as it is stored."""
        content = encode_without_secrets(self.request)
        return hashlib.sha256(self.operation.operation_name.encode() + b"\0" + content).digest()
