"""Sources: files before they are read. Which text they are in, and what identifies their content."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bus.files.entries import FileRefused

# Longer than the fields of anything that is imported.
MOST_LINE_BYTES = 1024 * 1024

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAVE_AS = "Save it again as UTF-8, or name its text with --encoding."


@dataclass(frozen=True)
class Source:
    """A file. `digest` is that of its content, `encoding` a name that Python knows; `size` is in bytes."""

    path: Path
    digest: str
    encoding: str
    size: int
    modified_ns: int

    @contextmanager
    def opened(self) -> Iterator[tuple[io.TextIOWrapper, io.BufferedReader]]:
        """The text, with its line breaks as they are, and the bytes below, whose `tell` says how far it was read.

        Raises FileRefused at the end if the file was changed meanwhile.
        """
        with self.path.open("rb") as raw, io.TextIOWrapper(raw, self.encoding, newline="") as text:
            yield text, raw
        found = self.path.stat()
        if (found.st_size, found.st_mtime_ns) != (self.size, self.modified_ns):
            raise FileRefused(f"{self.path} was changed while it was read. Import it again.")


def examine(path: Path, encoding: str | None = None) -> Source:
    """Read a file once, to know its text and its content. Without an `encoding` it is UTF-8 or else CP1252.

    Raises FileRefused for other text, and where a file has both.
    """
    found, digest, lines = path.stat(), hashlib.blake2b(digest_size=16), _Lines()
    with path.open("rb") as raw:
        for number, line in enumerate(iter(lambda: raw.readline(MOST_LINE_BYTES + 1), b""), 1):
            if len(line) > MOST_LINE_BYTES and encoding is None:
                raise FileRefused(
                    f"Line {number} has more than {MOST_LINE_BYTES} bytes. This is not a file with a row in each line."
                )
            digest.update(line)
            if encoding is None and not line.isascii():
                lines.look_at(number, line)
            elif encoding is None and b"\0" in line:
                raise FileRefused(f"Line {number} has a zero byte, so this is neither UTF-8 nor CP1252. {_SAVE_AS}")
    return Source(path, digest.hexdigest(), encoding or lines.encoding(), found.st_size, found.st_mtime_ns)


class _Lines:
    """The lines that are not plain ASCII: the first of each kind."""

    def __init__(self) -> None:
        self.utf8 = self.other = 0
        self.is_marked = False

    def look_at(self, number: int, line: bytes) -> None:
        if number == 1:
            if line.startswith(_OTHER_MARKS):
                raise FileRefused(f"This file is in UTF-16. {_SAVE_AS}")
            self.is_marked = line.startswith(_UTF8_MARK)
        try:
            line.decode("utf-8")
            self.utf8 = self.utf8 or number
        except UnicodeDecodeError:
            self._look_at_other(number, line)

    def _look_at_other(self, number: int, line: bytes) -> None:
        try:
            line.decode("cp1252")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise FileRefused(
                f"Line {number} is neither UTF-8 nor CP1252: it has the byte 0x{byte:02x}. {_SAVE_AS}"
            ) from None
        self.other = self.other or number

    def encoding(self) -> str:
        if not self.other:
            return "utf-8-sig"
        if self.is_marked:
            raise FileRefused(f"The file begins as UTF-8, but line {self.other} is not UTF-8. {_SAVE_AS}")
        if self.utf8:
            raise FileRefused(f"Line {self.utf8} is UTF-8, but line {self.other} is not. {_SAVE_AS}")
        return "cp1252"
