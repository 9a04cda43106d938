"""The skeleton of a new service: what `bus new` writes."""

import keyword
import re
from pathlib import Path
from string import Template

_FILES = Path(__file__).parent / "templates" / "service"


class InvalidName(ValueError):
    """A service name that cannot be a Python package and the first part of operation names."""


def write_skeleton(name: str, into: Path, port: int) -> Path:
    """Write the files of a service into a new folder and return it. Raises InvalidName, FileExistsError."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name) or keyword.iskeyword(name) or "reply" in name.split("_"):
        raise InvalidName(f"{name!r} is not a service name: lower-case letters, digits and underscores.")
    folder = into / name
    folder.mkdir(parents=True, exist_ok=False)
    words = {"name": name, "Name": name.title().replace("_", ""), "NAME": name.upper(), "port": str(port)}
    for file in sorted(_FILES.rglob("*.tmpl")):
        target = folder / Template(str(file.relative_to(_FILES)).removesuffix(".tmpl")).substitute(words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(file.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
    return folder
