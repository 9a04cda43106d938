"""Tables: CSV (RFC 4180) as cells by the names of their columns, with line numbers."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bus.files.entries import Fault, FileRefused

# The longest cell; more than this is a quote that nothing closes.
MOST_CELL_CHARACTERS = 100_000
DELIMITERS = ",;\t"


class Cells(NamedTuple):
    """One record. A column that the record does not have is not among its cells."""

    line: int
    cells: Mapping[str, str]


@dataclass
class Table:
    """The columns of a CSV file, and its records."""

    columns: list[str]
    records: Iterator[Cells | Fault]


def read_table(text: Iterable[str]) -> Table:
    """Read the header; the records follow as they are asked for. Empty records are left out.

    The delimiter is that of the header: a comma, a semicolon or a tab. Raises FileRefused.
    """
    lines = iter(text)
    before, header = 0, ""
    for header in lines:
        if header.strip(" \t\r\n;,"):
            break
        before += 1
    else:
        raise FileRefused("The file is empty.")
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(_chained(header, lines), delimiter=delimiter, strict=True)
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    try:
        columns = [each.strip() for each in next(reader)]
    except csv.Error as error:
        raise FileRefused(f"Line {before + 1}: {_in_words(error)}") from None
    if doubled := sorted({each for each in columns if each and columns.count(each) > 1}):
        raise FileRefused(f"Line {before + 1}: the column {doubled[0]} is there twice.")
    return Table(columns, _records(reader, columns, before))


def _records(reader: "csv.Reader", columns: list[str], before: int) -> Iterator[Cells | Fault]:  # type: ignore[name-defined]
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise FileRefused(f"Line {line}: {_in_words(error)}") from None
        if cells is None:
            return
        if not any(map(str.strip, cells)):
            continue
        if len(cells) != len(columns):
            yield Fault(line, f"This row has {len(cells)} cells, and the header {len(columns)}.")
        else:
            yield Cells(line, dict(zip(columns, cells, strict=True)))


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _in_words(error: csv.Error) -> str:
    if "field larger" in str(error) or "unexpected end" in str(error):
        return "A quote that opens in this row is not closed. A quote inside quotes is written twice."
    return f"This is not CSV: {error}. A quote inside quotes is written twice."
