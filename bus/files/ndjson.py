"""NDJSON: a JSON object in each line."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TextIO

from bus.contract.codec import parse
from bus.contract.problems import Invalid
from bus.files.entries import Entry, Fault, Row


def has_objects(text: TextIO) -> tuple[bool, Iterable[str]]:
    """Whether the first line that is not empty begins an object; and all lines, that one among them."""
    begin = []
    for line in text:
        begin.append(line)
        if line.strip():
            break
    return bool(begin) and begin[-1].lstrip().startswith("{"), chain(begin, text)


def read_objects(text: Iterable[str]) -> Iterator[Entry]:
    """The objects. Empty lines are left out."""
    for line, each in enumerate(text, 1):
        if not each.strip():
            continue
        try:
            yield Row(line, parse(each.encode("utf-8", "surrogatepass")))
        except Invalid as invalid:
            yield Fault(line, str(invalid))
