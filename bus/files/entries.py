"""Entries: what a file has, one by one, each with the line where it begins."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class FileRefused(Exception):
    """A file cannot be read at all, or not from some line on. The message says where and what to do."""


class Row(NamedTuple):
    """The fields of one thing, not validated yet."""

    line: int
    fields: Mapping[str, Any]


class Fault(NamedTuple):
    """One that cannot be read, or that the service refuses. The file has to be corrected."""

    line: int
    detail: str


class Skipped(NamedTuple):
    """One that is left out on purpose."""

    line: int
    reason: str


Entry = Row | Fault | Skipped
