"""NDJSON: a JSON object in each line."""

from collections.abc import Iterable, Iterator

from bus.contract.codec import parse
from bus.contract.problems import Invalid
from bus.files.entries import Entry, Fault, Row


def read_objects(text: Iterable[str]) -> Iterator[Entry]:
    """The objects. Empty lines are left out."""
    for line, each in enumerate(text, 1):
        if not each.strip():
            continue
        try:
            yield Row(line, parse(each.encode("utf-8", "surrogatepass")))
        except Invalid as invalid:
            yield Fault(line, str(invalid))
