"""Secrets that a test can find again in files and databases, whatever encoding they were written in."""

import os
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import MetaData, create_engine, select


class SecretMarker:
    """A password whose core stays the same under any quoting, between characters that any quoting changes."""

    def __init__(self, core: str = "") -> None:
        """`core` is a secret that another program has made, such as a token; a new one without it."""
        self.core = core or f"MARK{secrets.token_hex(8)}"
        self.password = f"\"é\\ '{self.core}' 🐴\""

    def found_in(self, content: bytes) -> bool:
        """Whether it contains the core: plain (in UTF-8, JSON or a repr), in base64, or in UTF-16."""
        return any(form in content for form in self._forms())

    def _forms(self) -> Iterator[bytes]:
        core = self.core.encode()
        yield core
        yield self.core.encode("utf-16-le")
        for encode in (b64encode, urlsafe_b64encode):
            for offset in range(3):  # its position among the bytes that are encoded with it
                whole = encode(b"x" * offset + core)
                yield whole[offset and 4 : len(whole) - len(whole) % 4 - 4]


def files_with(markers: Iterable[SecretMarker], folder: Path) -> list[str]:
    """The files below a folder that contain a marker. Skips files and folders that are deleted meanwhile."""
    found = []
    # Path.rglob() raises when a folder is deleted meanwhile, as a broker deletes those of its queues.
    for path in sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names):
        try:
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        except FileNotFoundError:
            continue
        if any(marker.found_in(content) for marker in markers):
            found.append(str(path.relative_to(folder)))
    return found


def columns_with(markers: Iterable[SecretMarker], url: str) -> list[str]:
    """The columns, in all tables of a database, that contain a marker."""
    engine, tables, found = create_engine(url), MetaData(), []
    with engine.connect() as connection:
        tables.reflect(connection)
        for table in tables.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                for name, value in row.items():
                    content = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    if any(marker.found_in(content) for marker in markers):
                        found.append(f"{table.name}.{name}")
    engine.dispose()
    return found
