"""Entries: what a file has, one by one, each with the line where it begins."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class FileRefused(Exception):
    """A file cannot be read at all, or not from some line on. The message says where and what to do."""


class Row(NamedTuple):
    """The fields of a product, not validated yet."""

    line: int
    fields: Mapping[str, Any]


class Fault(NamedTuple):
    """A product that cannot be read. The file has to be corrected."""

    line: int
    detail: str


class Skipped(NamedTuple):
    """A product that a catalog cannot have."""

    line: int
    reason: str


Entry = Row | Fault | Skipped
