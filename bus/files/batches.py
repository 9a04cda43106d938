"""Batches: the valid entries of a file, as many together as one command takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from bus.contract.problems import Invalid
from bus.files.entries import Entry, Fault, Row, Skipped

T = TypeVar("T")

# What is valid, with its line, and what is not.
Accepted = tuple[int, T] | Fault | Skipped


@dataclass
class Batch:
    """What is sent together, with the lines."""

    items: list[Any] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def accepted(
    found: Iterable[Entry], accept: Callable[[Mapping[str, Any]], T], begin: str = ""
) -> Iterator[Accepted[T]]:
    """What `accept` makes of the fields of each row; a fault for those for which it raises Invalid.

    `begin` is what the pointers of its errors begin with, which is left out of the words.
    """
    for each in found:
        if not isinstance(each, Row):
            yield each
            continue
        try:
            yield each.line, accept(each.fields)
        except Invalid as invalid:
            yield Fault(each.line, _in_words(invalid, begin))


def batches(
    found: Iterable[Accepted[Any]], aside: Callable[[Fault | Skipped], None], most_items: int, most_bytes: int
) -> Iterator[Batch]:
    """The valid ones in batches, the same for the same file. Faults and skipped entries go `aside` on the way."""
    batch, size = Batch(), 0
    for each in found:
        if isinstance(each, Fault | Skipped):
            aside(each)
            continue
        line, item = each
        length = len(msgspec.json.encode(item))
        if batch.items and (len(batch.items) == most_items or size + length > most_bytes):
            yield batch
            batch, size = Batch(), 0
        batch.items.append(item)
        batch.lines.append(line)
        size += length
    if batch.items:
        yield batch


def _in_words(invalid: Invalid, begin: str) -> str:
    faults = [(each.pointer.removeprefix(begin).strip("/"), each.detail) for each in invalid.problem.errors]
    return " ".join(f"{name}: {detail}" for name, detail in faults) or str(invalid)
