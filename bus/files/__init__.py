"""Files with a row for each of many things, CSV or NDJSON, and their import by commands.

They are read as streams, in constant memory. `source.py` finds out what a file is; `table.py` and `ndjson.py` make
entries of it (`entries.py`), each with its line; `batches.py` makes batches of those that are valid, and `importing.py`
sends them. The package imports `bus.client` and the packages below it; commands of services use it.
"""

from bus.files.batches import Accepted, accepted
from bus.files.entries import Entry, Fault, FileRefused, Row, Skipped
from bus.files.importing import FileImport
from bus.files.ndjson import has_objects, read_objects
from bus.files.table import Cells, Table, read_table

__all__ = [
    "Accepted",
    "Cells",
    "Entry",
    "Fault",
    "FileImport",
    "FileRefused",
    "Row",
    "Skipped",
    "Table",
    "accepted",
    "has_objects",
    "read_objects",
    "read_table",
]
