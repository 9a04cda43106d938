"""NDJSON: a JSON object in each line, with the fields of a product."""

from collections.abc import Iterable, Iterator

from bus import Invalid, parse
from catalog.files.entries import Entry, Fault, Row
from catalog.files.own import IGNORED


def rows(text: Iterable[str]) -> Iterator[Entry]:
    """The products. Empty lines are left out."""
    for line, each in enumerate(text, 1):
        if not each.strip():
            continue
        try:
            fields = parse(each.encode("utf-8", "surrogatepass"))
        except Invalid as invalid:
            yield Fault(line, str(invalid))
        else:
            yield Row(line, {name: value for name, value in fields.items() if name not in IGNORED})
