"""The skeleton of a new service: what `bus new` writes."""

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template

from bus.contract.names import is_reply_address

_FILES = Path(__file__).parent / "templates" / "service"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


class InvalidName(ValueError):
    """A name that cannot be a service's: its package's, and the first part of its operations' names.

    The author's to choose again; the message is one sentence for them.
    """


def write_skeleton(name: str, into: Path, port: int) -> Path:
    """Write the files of a service into a new folder and return it.

    Raises InvalidName, and OSError: FileExistsError when the folder is there already.
    """
    check_name(name)
    folder = into / name
    if folder.exists():
        raise FileExistsError(f"{folder} is there already, and stays as it is: choose another name or folder.")
    words = {"name": name, "NAME": name.upper(), "port": str(port)}
    for file in sorted(_FILES.rglob("*.tmpl")):
        target = folder / _filled_in(str(file.relative_to(_FILES)), words).removesuffix(".tmpl")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled_in(file.read_text(encoding="utf-8"), words), encoding="utf-8")
    return folder


def check_name(name: str) -> None:
    """Raises InvalidName."""
    if not _NAME.fullmatch(name):
        raise InvalidName(f"{name!r} is no service name: up to 31 lower-case letters, digits and underscores.")
    if keyword.iskeyword(name):
        raise InvalidName(f"{name!r} is no service name: it is a word of Python itself.")
    if is_reply_address(f"{name}.ping"):
        raise InvalidName(f"{name!r} is no service name: queues called so are taken for reply queues.")
    if name == "tests" or _is_installed(name):
        raise InvalidName(f"{name!r} is no service name: there is another Python package of that name.")


def _is_installed(name: str) -> bool:
    """Whether `import` would find it. A mere folder of that name, which has no origin, does not count."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def _filled_in(text: str, words: dict[str, str]) -> str:
    return Template(text).substitute(words)
