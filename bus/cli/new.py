"""`bus new`: the skeleton of a service."""

import keyword
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

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


@click.command()
@click.argument("service")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder to use.")
@click.option("--port", type=click.IntRange(1024, 65535), default=5002, show_default=True, help="The front end's.")
def new(service: str, into: Path, port: int) -> None:
    """Write the skeleton of a new service: a package that runs and passes its tests at once."""
    try:
        folder = write_skeleton(service, into, port)
    except (InvalidName, OSError) as error:
        raise click.UsageError(str(error)) from None
    project, extra = shlex.quote(str(folder)), shlex.quote(f"{folder}[test]")
    click.echo(f"Wrote {folder}. Next:")
    click.echo(f"  pip install -e {extra} && pytest {project} && bus run {service}")
