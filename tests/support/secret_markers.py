"""Marked secrets: texts that are found again wherever they rest, however they were written there."""

import os
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import MetaData, create_engine, select


class Mark:
    """A password with a core that no quoting changes, between characters that every quoting does."""

    def __init__(self) -> None:
        self._core = f"MARK{secrets.token_hex(8)}"
        self.password = f"\"é\\ '{self._core}' 🐴\""

    def found_in(self, content: bytes) -> bool:
        """Whether the core is there: as it is (in UTF-8, in JSON, in a repr), in base64, or in UTF-16."""
        return any(form in content for form in self._forms())

    def _forms(self) -> Iterator[bytes]:
        core = self._core.encode()
        yield core
        yield self._core.encode("utf-16-le")
        for encode in (b64encode, urlsafe_b64encode):
            for offset in range(3):  # where it stands among what is encoded with it
                whole = encode(b"x" * offset + core)
                yield whole[offset and 4 : len(whole) - len(whole) % 4 - 4]


def files_with(marks: Iterable[Mark], folder: Path) -> list[str]:
    """The files below a folder in which a mark rests. A file or folder that is deleted meanwhile is none."""
    found = []
    # Path.rglob() raises when a folder goes away under it, as those of a broker's queues do.
    for path in sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names):
        try:
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        except FileNotFoundError:
            continue
        if any(mark.found_in(content) for mark in marks):
            found.append(str(path.relative_to(folder)))
    return found


def columns_with(marks: Iterable[Mark], url: str) -> list[str]:
    """The columns of all tables of a database in which a mark stands."""
    engine, tables, found = create_engine(url), MetaData(), []
    with engine.connect() as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for name, value in row.items():
                    content = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    if any(mark.found_in(content) for mark in marks):
                        found.append(f"{table.name}.{name}")
    engine.dispose()
    return found
