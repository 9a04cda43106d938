"""`bus new`: write the skeleton of a service."""

import keyword
import re
import shlex
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from string import Template

import click

from bus.contract.names import is_reply_address
from bus.service.application import installed_applications

_FILES = Path(__file__).parent / "templates" / "service"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
# As the template for `main.py` has it.
_PORT = re.compile(r"^    port=([0-9]+),$", re.MULTILINE)
# After auth, the catalog and the console.
FIRST_PORT = 5003


class InvalidName(ValueError):
    """A name that a service cannot have: its package and its operations (`NAME.create_note`) are named after it.

    The message is one sentence for the author, who has to choose another name.
    """


def write_skeleton(name: str, into: Path, port: int) -> Path:
    """Write the files of a service into a new folder `into/name`, and return the folder.

    Raises:
        InvalidName: The service cannot have this name.
        FileExistsError: The folder exists.
        OSError: The files cannot be written.
    """
    check_name(name)
    folder = into / name
    if folder.exists():
        raise FileExistsError(f"{folder} exists already and was not changed: choose another name or folder.")
    words = {"name": name, "NAME": name.upper(), "port": str(port)}
    for file in sorted(_FILES.rglob("*.tmpl")):
        target = folder / _filled_in(str(file.relative_to(_FILES)), words).removesuffix(".tmpl")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled_in(file.read_text(encoding="utf-8"), words), encoding="utf-8")
    return folder


def check_name(name: str) -> None:
    """Raises InvalidName for a name that a service cannot have."""
    if not _NAME.fullmatch(name):
        raise InvalidName(f"{name!r} is not a service name: use up to 31 lower-case letters, digits and underscores.")
    if keyword.iskeyword(name):
        raise InvalidName(f"{name!r} is not a service name: it is a keyword of Python.")
    if is_reply_address(f"{name}.ping"):
        raise InvalidName(f"{name!r} is not a service name: its queues would have the names of reply queues.")
    if name == "tests" or _is_installed(name):
        raise InvalidName(f"{name!r} is taken: a Python package has that name already, so choose another.")


def next_port(into: Path) -> int:
    """The first port from FIRST_PORT on that no installed service has, nor one whose skeleton is in the folder."""
    written = (_PORT.search(main.read_text(encoding="utf-8")) for main in into.glob("*/*/main.py"))
    taken = {int(found[1]) for found in written if found} | {each.port for each in installed_applications().values()}
    return next(port for port in count(FIRST_PORT) if port not in taken)


def _is_installed(name: str) -> bool:
    """Whether `import` finds a package of this name. A folder without `__init__.py` does not count."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def _filled_in(text: str, words: dict[str, str]) -> str:
    return Template(text).substitute(words)


@click.command()
@click.argument("service")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder to use.")
@click.option("--port", type=click.IntRange(1024, 65535), help="Its front end's port; the next free one if not given.")
def new(service: str, into: Path, port: int | None) -> None:
    """Write the skeleton of a new service: a package that runs, with tests that pass."""
    try:
        folder = write_skeleton(service, into, next_port(into) if port is None else port)
    except (InvalidName, OSError) as error:
        raise click.UsageError(str(error)) from None
    project, extra = shlex.quote(str(folder)), shlex.quote(f"{folder}[test]")
    click.echo(f"Wrote {folder}. Next:")
    click.echo(f"  pip install -e {extra} && pytest {project} && bus run {service}")
